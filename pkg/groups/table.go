// SPDX-License-Identifier: Apache-2.0

package groups

import "elsa/pkg/clock"

// state of an entry. A process is live until its last thread exited, then dead
// until its record was read. A record may be read first: the entry is then
// recorded until the exit event comes.
type state uint8

const (
	free state = iota
	live
	dead
	recorded
	task   // named by the fork connector: a process, or a thread
	thread // a task that is no process; what it forks inherits from it
)

// Bits of entry.flags.
const (
	leaderGone uint8 = 1 << iota // the leader's exit was seen while threads live
	scanned                      // found in /proc; its fork event may still come
	inferred                     // membership found after loss
	unproven                     // membership not known: parent was unknown
	dirty                        // queued for TakeChanged
	stored                       // the store holds this life
	hasAccount                   // the join keeps an account of this life
	doubtful                     // born by an event after loss; see Tracker.Lost
)

// entry is one process, 24 bytes.
type entry struct {
	start   clock.Start
	set     SetID
	ppid    int32   // parent at fork, or in /proc when scanned
	lived   float32 // seconds from start to exit, when dead
	threads uint16  // live threads beside the leader
	state   state
	flags   uint8
}

// exit returns when a dead process ended, to seven digits of its life time, and
// zero for any other.
func (e *entry) exit() clock.Boot {
	if e.state != dead {
		return 0
	}
	return e.start.Boot() + clock.Boot(float64(e.lived)*1e9)
}

const (
	// 64 entries fill an allocation of 1536 bytes: small enough that few
	// processes with ids far apart cost little.
	pageBits = 6
	pageSize = 1 << pageBits
	// maxPID is the kernel's PID_MAX_LIMIT on 64-bit machines.
	maxPID = 1 << 22
)

// maxSpare bounds the empty pages kept against thrashing: ids are given out in
// turn, so pages fill and empty all the time.
const maxSpare = 256

type page [pageSize]entry

// table maps pids to entries. Pages come and go with the pids in them, so that
// memory follows the number of processes and a lookup costs two loads.
type table struct {
	pages []*page
	used  []uint8 // entries in use of each page
	spare []*page // empty
}

// get returns the entry of pid, or nil when there is none.
func (t *table) get(pid int32) *entry {
	i := uint32(pid) >> pageBits
	if i >= uint32(len(t.pages)) || t.pages[i] == nil {
		return nil
	}
	e := &t.pages[i][pid&(pageSize-1)]
	if e.state == free {
		return nil
	}
	return e
}

// put makes a cleared entry of pid, which must not have one, and returns it.
// The caller must set its state.
func (t *table) put(pid int32) *entry {
	i := int(pid >> pageBits)
	for i >= len(t.pages) {
		t.pages = append(t.pages, nil)
		t.used = append(t.used, 0)
	}
	p := t.pages[i]
	if p == nil {
		if n := len(t.spare); n > 0 {
			p, t.spare = t.spare[n-1], t.spare[:n-1]
		} else {
			p = new(page)
		}
		t.pages[i] = p
	}
	t.used[i]++
	return &p[pid&(pageSize-1)]
}

// drop frees the entry of pid.
func (t *table) drop(pid int32) {
	i := pid >> pageBits
	p := t.pages[i]
	p[pid&(pageSize-1)] = entry{}
	if t.used[i]--; t.used[i] > 0 {
		return
	}
	t.pages[i] = nil
	if len(t.spare) < maxSpare {
		t.spare = append(t.spare, p)
	}
}

// all calls f for every entry. f may change or drop the entry it is given, and
// no other.
func (t *table) all(f func(pid int32, e *entry)) {
	for i, p := range t.pages {
		if p == nil {
			continue
		}
		for j := range p {
			if p[j].state != free {
				f(int32(i<<pageBits|j), &p[j])
			}
		}
	}
}
