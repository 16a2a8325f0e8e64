// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"io/fs"
	"time"

	"elsa/internal/rules"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// What follows is all that the made-up kernel and the model need to know of how
// clocks and figures are typed.

func monoTime(ns int64) clock.Mono { return clock.Mono(ns) }

func (k *kernel) now() Now {
	return Now{Boot: clock.Boot(k.boottime()), Wall: time.Unix(0, k.wall()).UTC()}
}

func (k *kernel) setClocks(e *Engine) {
	e.SetClocks(k.now(), time.Duration(k.asleep), 4*time.Millisecond)
}

// procStart is the start of a process as /proc shows it.
func (p *process) procStart() clock.Start {
	return clock.At(clock.Boot(p.start-p.start%int64(clock.ProcTick)), clock.Tick)
}

// isOf reports whether a key means the process.
func (p *process) isOf(key groups.Key) bool {
	return p.pid == key.PID && p.procStart().Same(key.Start)
}

// view is the kernel as the engine looks at it: /proc.
type view struct {
	*kernel
	rules.Numbers
	// sampled is told of each sample.
	sampled func(*process)
}

var _ World = (*view)(nil)

func (v *view) Process(pid int32) (proc.Process, error) {
	p := v.pids[pid]
	if p == nil {
		return proc.Process{}, fmt.Errorf("read process %d: %w", pid, fs.ErrNotExist)
	}
	shown := proc.Process{
		PID: pid, PPID: p.ppid, Threads: int32(1 + len(p.threads)), State: 'S', Exiting: p.exiting || p.headless,
		Start: p.procStart(), UID: p.uid,
	}
	copy(shown.Comm[:], p.comm)
	if p.headless || p.dead {
		shown.State = 'Z'
	}
	return shown, nil
}

func (v *view) Processes(buf []proc.Process) ([]proc.Process, error) {
	for _, p := range v.shown() {
		shown, _ := v.Process(p.pid)
		shown.UID = proc.UnknownUID // as in a snapshot
		buf = append(buf, shown)
	}
	return buf, nil
}

func (v *view) Threads(pid int32) ([]int32, error) {
	if p := v.pids[pid]; p != nil {
		return append([]int32{pid}, p.threads...), nil
	}
	return nil, fs.ErrNotExist
}

func (v *view) IsThread(int32) bool { return false }

// Sample reads what a process used. That of a dead one stands still.
func (v *view) Sample(key groups.Key, s *proc.Sample) error {
	p := v.pids[key.PID]
	if p == nil || !p.isOf(key) {
		return fs.ErrNotExist
	}
	*s = proc.Sample{CPU: p.used.cpu, MinorFaults: p.used.faults, ReadBytes: p.used.read, Dead: p.dead, UID: p.uid}
	copy(s.Comm[:], p.comm)
	s.User = p.used.cpu / 3
	s.System = p.used.cpu - s.User
	if v.sampled != nil {
		v.sampled(p)
	}
	return nil
}

func (v *view) Traits(p proc.Process, _ uint64) rules.Traits { return rules.Gone(p, v) }
func (v *view) User(uid uint32) (string, bool)               { return []string{"root", "alice"}[uid&1], true }
func (v *view) IsUser(uid uint32, name string) (bool, bool) {
	own, _ := v.User(uid)
	return own == name, true
}
