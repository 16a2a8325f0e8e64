// SPDX-License-Identifier: Apache-2.0

// Package groups knows who is in which groups. The [Tracker] is fed with what
// the kernel says (fork, exec, exit), with snapshots of /proc and with the
// administrator's wishes, and answers which set of groups a process was in when
// its accounting record comes. It does no I/O, reads no clock and takes no
// locks: one goroutine owns it.
package groups

import "elsa/pkg/clock"

// Life is one process from birth to death: a pid together with its start.
type Life struct {
	PID, PPID int32
	// Start is when it began, as its source tells. It does not change when a
	// better source tells it too.
	Start clock.Start
	// Exit is zero while no exit was seen. It is rounded as by [clock.Rounding] of
	// the life time.
	Exit clock.Boot
	Set  SetID
	// Inferred: the membership was found after loss. Unproven: it is not known.
	Inferred, Unproven bool
	// HasAccount: the join keeps an account of this life; see [Tracker.KeepAccount].
	HasAccount bool
	// Recorded: this life's record was read before (a second line for a process
	// that switched accounting while it lived).
	Recorded bool

	// Of a life whose pid was taken by another:
	task     bool // it may have been a thread: no record need come
	dirty    bool // to be told by TakeChanged
	stored   bool // the store holds it
	doubtful bool // born by an event after loss
}

// Key identifies a process over pid reuse, within one boot.
type Key struct {
	PID   int32
	Start clock.Start
}

// Key returns the identity of l.
func (l *Life) Key() Key { return Key{l.PID, l.Start} }

// Tracker maps every process to its membership set. The zero value is not
// ready; use New.
type Tracker struct {
	Sets *Sets
	// NoExits: the source tells no exits; a process is over with its record.
	NoExits bool
	// WholeExits: the source tells the end of processes, by End, when they begin to
	// end; see also ForkOf. They may be seen to run after that.
	WholeExits bool

	table    table
	older    map[int32][]Life // dead lives whose pid was taken, oldest first
	waiting  map[int32][]Key  // children of a parent of unknown membership
	waits    int              // in waiting
	deaths   []death          // in order, for Barrier
	awaiting int              // dead whose record was not read
	epoch    uint32           // see Barrier
	tasks    []Key            // not known to be processes, for Classify
	sets     []tally
	begun    []SetID // sets with starts not yet taken by TakeStarts
	changed  []int32 // pids with the dirty bit
	gone     []Key   // stored lives that are over
	outdated bool    // older has lives with the dirty mark
	doubt    bool    // events were lost, and Resync was not called since
	offered  Life    // what Take and Peek show, kept off the heap

	Evicted uint64 // lives ended by a fork of the same pid
	Adopted uint64 // lives whose membership was found late
	Ignored uint64 // events that name no possible pid
}

// tally counts the processes of a set.
type tally struct {
	live   int32
	starts int64 // came in since TakeStarts
}

// New returns an empty tracker with the given sets.
func New(sets *Sets) *Tracker {
	return &Tracker{Sets: sets, older: map[int32][]Life{}, waiting: map[int32][]Key{}}
}

// Fork says that parent (a tgid) made the process child, which began at start. A
// child takes its parent's set. A child whose parent is not known waits for it. A
// fork of a known pid proves that the old process is dead.
func (t *Tracker) Fork(parent, child int32, start clock.Start) {
	if e := t.born(Key{PID: parent}, child, start, live); e != nil {
		t.enter(child, e)
	}
}

// born makes the entry of a process or task and returns it, or nil when there
// is nothing new. The parent's start may be unknown.
func (t *Tracker) born(parent Key, child int32, start clock.Start, s state) *entry {
	if child <= 0 || child > maxPID {
		t.Ignored++
		return nil
	}
	if e := t.table.get(child); e != nil {
		if e.flags&scanned != 0 && start.Same(e.start) {
			t.confirm(child, e, parent, start) // the scan of /proc was faster
			return nil
		}
		if start.Boot() < e.start.Boot() {
			return nil // an event of an older life, overtaken by a scan
		}
		t.evict(child, e, start.Boot())
	}
	set, flags := t.inherit(parent, start)
	if t.doubt && !t.proves(parent) {
		flags |= doubtful
	}
	e := t.table.put(child)
	e.start, e.ppid, e.set, e.state, e.flags = start, parent.PID, set, s, flags
	if flags&unproven != 0 {
		t.await(parent.PID, Key{child, start})
	}
	if len(t.waiting) > 0 {
		t.adoptWaiting(child, e)
	}
	return e
}

// Lost says that events were lost. An exit and the next fork of its pid may be
// among them, and what that next life forks would seem to be the old one's. So
// what is born from now on is in doubt until [Tracker.Resync], which must be
// called before the life of any record is taken. A source without exits never tells whose a
// child is for sure, and has no doubts.
func (t *Tracker) Lost() { t.doubt = !t.NoExits }

// inherit is what a child of parent inherits.
func (t *Tracker) inherit(parent Key, child clock.Start) (set SetID, flags uint8) {
	p := t.table.get(parent.PID)
	if p == nil || p.flags&unproven != 0 || !p.start.MayFork(child) || parent.Start.Known() && !p.start.Same(parent.Start) {
		return Unattributed, unproven
	}
	return p.set, p.flags & inferred
}

// Thread says that the process tgid made another thread.
func (t *Tracker) Thread(tgid int32) {
	if e := t.table.get(tgid); e != nil && e.threads < 1<<16-1 {
		e.threads++
	}
}

// Exec says that process pid executed a program: it has one thread now. A leader
// that exited before was replaced by the thread that called exec.
func (t *Tracker) Exec(pid int32) {
	e := t.table.get(pid)
	if e == nil {
		return
	}
	e.threads = 0
	e.flags &^= leaderGone
	if e.state == dead {
		t.revive(pid, e)
	}
}

// Exit says that thread tid of process tgid exited. The process is dead when
// its last thread is.
func (t *Tracker) Exit(tid, tgid int32, at clock.Boot) {
	e := t.table.get(tgid)
	if e == nil || at < e.start.Boot() {
		return
	}
	switch {
	case tid == tgid:
		e.flags |= leaderGone
	case e.threads > 0:
		e.threads--
	}
	if e.flags&leaderGone == 0 || e.threads > 0 {
		return
	}
	t.ended(tgid, e, at)
}

// ended takes the end of a process's last thread.
func (t *Tracker) ended(pid int32, e *entry, at clock.Boot) {
	switch e.flags &^= scanned; e.state { // the next fork of its pid is another
	case live:
		t.die(pid, e, at)
	case recorded:
		t.free(pid, e)
	}
}

// Lookup returns the life that has pid now, dead or live.
func (t *Tracker) Lookup(pid int32) (Life, bool) {
	e := t.table.get(pid)
	if e == nil {
		return Life{}, false
	}
	return t.lifeOf(pid, e), true
}

// Live returns the life of the live process pid.
func (t *Tracker) Live(pid int32) (Life, bool) {
	e := t.table.get(pid)
	if e == nil || e.state != live {
		return Life{}, false
	}
	return t.lifeOf(pid, e), true
}

// EachLive calls f for every live process. f must not change the tracker.
func (t *Tracker) EachLive(f func(Life)) {
	t.table.all(func(pid int32, e *entry) {
		if e.state == live {
			f(t.lifeOf(pid, e))
		}
	})
}

func (t *Tracker) lifeOf(pid int32, e *entry) Life {
	return Life{
		PID: pid, PPID: e.ppid, Start: e.start, Exit: e.exit(), Set: e.set,
		Inferred: e.flags&inferred != 0, Unproven: e.flags&unproven != 0,
		HasAccount: e.flags&hasAccount != 0, Recorded: e.state == recorded,
	}
}
