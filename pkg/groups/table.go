// SPDX-License-Identifier: Apache-2.0

package groups

// state of an entry. A process is live until its last thread exited, then dead
// until its record was read. A record may be read first: the entry is then
// reaped until the exit event comes.
type state uint8

const (
	free state = iota
	live
	dead
	reaped
	task   // named by the fork connector: a process, or a thread
	thread // a task that is no process; what it forks inherits from it
)

// Bits of entry.flags.
const (
	leaderGone uint8 = 1 << iota // the leader's exit was seen while threads live
	scanned                      // found in /proc: start is truncated to 10 ms
	inferred                     // membership found after loss
	unproven                     // membership not known: parent was unknown
	dirty                        // queued for TakeChanged
	stored                       // the store holds this life
	noted                        // the join keeps an account of this life
)

// entry is one process, 32 bytes.
type entry struct {
	start   int64 // ns, CLOCK_BOOTTIME
	exit    int64 // the same, when dead
	set     SetID
	ppid    int32 // parent at fork, or in /proc when scanned
	threads uint16
	state   state
	flags   uint8
	epoch   uint32 // of death
}

const (
	pageBits = 8
	pageSize = 1 << pageBits
	// maxPID is the kernel's PID_MAX_LIMIT on 64-bit machines.
	maxPID = 1 << 22
)

type page struct {
	used    int
	entries [pageSize]entry
}

// table maps pids to entries. Pages come and go with the pids in them, so that
// memory follows the number of processes and a lookup costs two loads.
type table struct {
	pages []*page
	spare *page // one emptied page, kept against thrashing
	count int   // entries not free
}

// get returns the entry of pid, or nil when there is none.
func (t *table) get(pid int32) *entry {
	i := uint32(pid) >> pageBits
	if i >= uint32(len(t.pages)) || t.pages[i] == nil {
		return nil
	}
	e := &t.pages[i].entries[pid&(pageSize-1)]
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
	}
	p := t.pages[i]
	if p == nil {
		if p = t.spare; p == nil {
			p = new(page)
		}
		t.spare = nil
		t.pages[i] = p
	}
	p.used++
	t.count++
	return &p.entries[pid&(pageSize-1)]
}

// drop frees the entry of pid.
func (t *table) drop(pid int32) {
	p := t.pages[pid>>pageBits]
	p.entries[pid&(pageSize-1)] = entry{}
	t.count--
	if p.used--; p.used == 0 {
		t.pages[pid>>pageBits] = nil
		t.spare = p
	}
}

// all calls f for every entry. f may change or drop the entry it is given, and
// no other.
func (t *table) all(f func(pid int32, e *entry)) {
	for i, p := range t.pages {
		if p == nil {
			continue
		}
		for j := range p.entries {
			if p.entries[j].state != free {
				f(int32(i<<pageBits|j), &p.entries[j])
			}
		}
	}
}
