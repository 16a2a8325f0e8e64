// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	"elsa/pkg/clock"
	"elsa/pkg/cnfork"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// A process that was put in a group in the middle of its life is sampled when it
// executes a program, which readers go on from; one that was forked there is not. In a
// storm it is bounded how many are.
func TestSampleAtExec(t *testing.T) {
	m, now := newMachine(), at(time.Hour)
	e := newBooted(t, m, now)
	g, err := e.MakeGroup("g", 0, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	run := func(parent, pid int32) {
		m.procs[pid] = &proc.Process{PID: pid, PPID: parent, Start: clock.At(now.Boot, clock.Tick), State: 'S', Threads: 1}
		m.used[pid] = &proc.Sample{}
		e.Events([]cnfork.Event{{Kind: cnfork.Fork, PID: pid, TGID: pid, ParentPID: parent, ParentTGID: parent, Time: clock.Mono(now.Boot)}}, 0, 0, now)
	}
	exec := func(pid int32) { e.Events([]cnfork.Event{{Kind: cnfork.Exec, PID: pid, TGID: pid}}, 0, 0, now) }
	taken := func() (pids map[int32]uint64) {
		pids = map[int32]uint64{}
		if err := e.EachSampled(now, func(k groups.Key, s *proc.Sample) {
			if s != nil {
				pids[k.PID] = s.WriteBytes
			}
		}); err != nil {
			t.Fatal(err)
		}
		return pids
	}
	const shell, child = 100, 101
	run(1, shell)
	life, _ := e.Live(shell)
	e.Add(life, g, false, false, 0, now)
	if n := taken(); len(n) != 1 {
		t.Errorf("taken when it was added: %v", n)
	}
	run(shell, child)
	m.used[shell].WriteBytes = 7
	exec(shell)
	exec(child)
	if n := taken(); len(n) != 1 || n[shell] != 7 {
		t.Errorf("taken at exec: %v, want that of the shell", n)
	}
	if n := taken(); len(n) != 0 {
		t.Errorf("told twice: %v", n)
	}
	for pid := int32(1000); pid < 1000+2*maxExecSamples; pid++ {
		run(1, pid)
		life, _ := e.Live(pid)
		e.Add(life, g, false, false, 0, now)
	}
	taken()
	for pid := int32(1000); pid < 1000+2*maxExecSamples; pid++ {
		exec(pid)
	}
	if n := taken(); len(n) != maxExecSamples-1 {
		t.Errorf("%d samples in a step, want %d", len(n), maxExecSamples-1)
	}
	e.EndStep(now)
	if exec(1000); len(taken()) != 1 {
		t.Error("none in the next step")
	}
}
