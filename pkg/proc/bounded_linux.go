// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"elsa/pkg/clock"
)

// Bounded reads what [FS] reads, in a bounded time. The kernel lets who reads stat,
// io, environ or exe of a process wait while that executes a program
// (include/linux/sched/signal.h: exec_update_lock), which lasts as long as a file
// system likes that is asked to close a file then: one in user space, for ever.
//
// Each look is made in another goroutine. What does not end in time goes on there;
// the error then wraps [ErrBusy]. A look that ends late is told by Answered. It is
// bounded how many there are, in all and for the processes of each user.
//
// All methods are safe for concurrent use.
type Bounded struct {
	fs       FS
	lookers  *lookers
	patience *patience
	least    time.Duration // to wait when there is no patience left; see wait
	sampler  *Sampler      // for clocks, which need no buffer
}

// NewBounded returns a reader that waits 100 ms for a look.
func NewBounded(fs FS) *Bounded {
	return &Bounded{
		fs: fs, lookers: newLookers(fs), sampler: fs.NewSampler(), least: 10 * time.Millisecond,
		patience: &patience{each: 100 * time.Millisecond, burst: time.Second, share: 0.5},
	}
}

// Impatient returns a reader for a goroutine that nothing may hold up. It waits
// 5 ms for a look. When such waiting took a twentieth of the time it waits 2 ms, and
// not at all for processes of users of whom one was busy in the last ten seconds.
// What is under way is counted together with b's.
func (b *Bounded) Impatient() *Bounded {
	quick := *b
	quick.patience = &patience{each: 5 * time.Millisecond, burst: 20 * time.Millisecond, share: 0.05}
	quick.least = 2 * time.Millisecond
	return &quick
}

// FS is the tree that is read.
func (b *Bounded) FS() FS { return b.fs }

// Answered has something when looks have ended for which nobody waited; TakeAnswered
// returns the processes they were at, each once.
func (b *Bounded) Answered() <-chan struct{} { return b.lookers.signal }

// TakeAnswered is for one goroutine.
func (b *Bounded) TakeAnswered() []int32 {
	b.lookers.mu.Lock()
	defer b.lookers.mu.Unlock()
	pids := b.lookers.ended
	b.lookers.ended = nil
	return pids
}

// Late counts looks that did not end in time, Refused those that were not made since
// too many were under way.
func (b *Bounded) Late() uint64    { return b.lookers.late.Load() }
func (b *Bounded) Refused() uint64 { return b.lookers.refused.Load() }

// Look has f called, which may read any file of the process; see [Bounded]. Unless
// the error is nil, what f has written must not be read.
func (b *Bounded) Look(pid int32, f func()) error {
	return b.look(pid, func(*Sampler) { f() })
}

func (b *Bounded) look(pid int32, f func(*Sampler)) error {
	return b.lookers.look(pid, b.wait, b.patience.spend, nil, f)
}

// wait is how long to wait for a look at a process now.
func (b *Bounded) wait(pid int32) time.Duration {
	d := b.patience.now()
	switch {
	case d >= b.least:
		return d
	case b.lookers.suspect(pid):
		return 0
	}
	return b.least
}

// Process is [FS.Process]. That there is no such process is told at once, however busy
// the machine is.
func (b *Bounded) Process(pid int32) (Process, error) {
	if !b.fs.has(pid) {
		return Process{}, fmt.Errorf("read process %d: %w", pid, noProcess{})
	}
	r := new(struct {
		p   Process
		err error
	})
	if err := b.look(pid, func(*Sampler) { r.p, r.err = b.fs.Process(pid) }); err != nil {
		return Process{}, fmt.Errorf("read process %d: %w", pid, err)
	}
	return r.p, r.err
}

// IsThread is [FS.IsThread]; false if that cannot be seen in time.
func (b *Bounded) IsThread(pid int32) bool {
	r := new(bool)
	return b.look(pid, func(*Sampler) { *r = b.fs.IsThread(pid) }) == nil && *r
}

// Threads is [FS.Threads], for which nothing has to be waited.
func (b *Bounded) Threads(pid int32) ([]int32, error) { return b.fs.Threads(pid) }

// Sample is [Sampler.Sample]. Of a process that is busy the clocks are read, as
// without detail.
func (b *Bounded) Sample(pid int32, start clock.Start, s *Sample, detail bool) error {
	if !detail {
		return b.sampler.Sample(pid, start, s, false)
	}
	r := &struct {
		s   Sample
		err error
	}{s: *s}
	if b.look(pid, func(sa *Sampler) { r.err = sa.Sample(pid, start, &r.s, true) }) != nil {
		return b.sampler.Sample(pid, start, s, false)
	}
	*s = r.s
	return r.err
}

// chunk is how many processes of a snapshot are read in one look.
const chunk = 64

// A snapshot waits for a process so long at least: a machine that is busy may be late
// with any. Of a user who has made others wait it is not waited so long for.
const snapshotWait, snapshotSuspect = 20 * time.Millisecond, 2 * time.Millisecond

// waitInSnapshot is how long to wait for a process of a snapshot now.
func (b *Bounded) waitInSnapshot(pid int32) time.Duration {
	if b.lookers.suspect(pid) {
		return max(snapshotSuspect, b.patience.now())
	}
	return max(snapshotWait, b.patience.now())
}

// Snapshot is [FS.Snapshot]. Processes that are busy are left out.
func (b *Bounded) Snapshot(buf []Process) ([]Process, error) {
	buf = buf[:0]
	root, err := openDir(string(b.fs))
	if err != nil {
		return buf, fmt.Errorf("list processes: %w", err)
	}
	var pids []int32
	err = numericEntries(root, func(pid int32) { pids = append(pids, pid) })
	unix.Close(root)
	for len(pids) > 0 {
		size := chunk
		if b.lookers.many() {
			size = 1 // ask of each whether it may be looked at
		}
		r := &reading{fs: b.fs, lookers: b.lookers, pids: pids[:min(size, len(pids))]}
		r.at.Store(pids[0])
		late := b.lookers.look(pids[0], b.waitInSnapshot, b.patience.spend, &r.at, func(*Sampler) { r.read() })
		r.left.Store(late != nil)
		n := int(r.done.Load())
		for i := range r.out[:n] {
			if r.out[i].PID != 0 {
				buf = append(buf, r.out[i])
			}
		}
		pids = pids[n:]
		switch {
		case late != nil:
			pids = pids[1:]
		case r.err != nil && err == nil:
			err = r.err
		}
	}
	if err != nil {
		return buf, fmt.Errorf("list processes in %s: %w", string(b.fs), err)
	}
	return buf, nil
}

// reading is a part of a snapshot.
type reading struct {
	fs      FS
	lookers *lookers
	pids    []int32
	text    []byte
	out     [chunk]Process
	at      atomic.Int32 // the process that is looked at
	done    atomic.Int32 // so many were
	left    atomic.Bool  // nobody waits any more
	err     error
}

// read reads processes up to one that is busy.
func (r *reading) read() {
	for i, pid := range r.pids {
		if i > 0 && r.lookers.isStuck(pid) {
			return
		}
		r.at.Store(pid)
		line, err := readAt(unix.AT_FDCWD, r.fs.path(pid, "stat"), &r.text)
		if r.left.Load() {
			return
		}
		if err == nil {
			err = parseStat(line, &r.out[i])
		}
		if err != nil && !gone(err) {
			r.err = fmt.Errorf("process %d: %w", pid, err)
		}
		r.done.Store(int32(i + 1))
	}
}
