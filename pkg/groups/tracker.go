// SPDX-License-Identifier: Apache-2.0

// Package groups knows who is in which groups. The [Tracker] is fed with what
// the kernel says (fork, exec, exit), with snapshots of /proc and with the
// administrator's wishes, and answers which set of groups a process was in when
// its accounting record comes. It does no I/O, reads no clock and takes no
// locks: one goroutine owns it.
package groups

// Life is one process from birth to death: a pid together with its start.
type Life struct {
	PID, PPID int32
	// Start and Exit are in nanoseconds of CLOCK_BOOTTIME; Exit is zero while
	// no exit was seen. The start of a process found in /proc is truncated to
	// 10 ms.
	Start, Exit int64
	Set         SetID
	// Inferred: the membership was found after loss. Unproven: it is not known.
	Inferred, Unproven bool
	// Noted: the join keeps an account of this life; see [Tracker.Note].
	Noted bool
	// Again: this life's record was read before (a second line for a process
	// that switched accounting while it lived).
	Again bool

	stored bool
}

// Key identifies a process over pid reuse, within one boot.
type Key struct {
	PID   int32
	Start int64 // ns, CLOCK_BOOTTIME
}

// Key returns the identity of l.
func (l *Life) Key() Key { return Key{l.PID, l.Start} }

// Tracker maps every process to its membership set. The zero value is not
// ready; use New.
type Tracker struct {
	Sets *Sets
	// NoExits: the source tells no exits; a process is over with its record.
	NoExits bool

	table   table
	older   map[int32][]Life // dead lives whose pid was taken by another
	waiting map[int32][]Key  // children of a parent not seen yet
	deaths  []death          // in order, for Missing
	epoch   uint32           // see Barrier
	tasks   []Key            // not known to be processes, for Classify
	live    []int32          // live processes by set
	starts  map[SetID]int64  // not yet taken by TakeStarts
	changed []int32          // pids with the dirty bit
	gone    []Key            // stored lives that are over
	Evicted uint64           // lives ended by a fork of the same pid
	Adopted uint64           // lives whose membership was found late
	Ignored uint64           // events that name no possible pid
}

type death struct {
	key   Key
	epoch uint32
}

// startSlack is how much later than the start in /proc (truncated to 10 ms) the
// fork event of the same process may be stamped: copy_process takes the start
// time, and may be preempted before it sends the event.
const startSlack = 50e6

// maxWaiting bounds the children that wait for their parent's event.
const maxWaiting = 1 << 16

// New returns an empty tracker with the given sets.
func New(sets *Sets) *Tracker {
	return &Tracker{
		Sets:    sets,
		older:   map[int32][]Life{},
		waiting: map[int32][]Key{},
		starts:  map[SetID]int64{},
	}
}

// Fork says that parent (a tgid) made the process child at time at. A child
// takes its parent's set. A child whose parent is not known waits for it. A fork
// of a known pid proves that the old process is dead.
func (t *Tracker) Fork(parent, child int32, at int64) {
	if child <= 0 || child > maxPID {
		t.Ignored++
		return
	}
	set, flags, known := t.heritage(parent)
	if e := t.table.get(child); e != nil {
		if e.state == live && e.flags&scanned != 0 && at >= e.start && at-e.start <= startSlack {
			// The scan of /proc was faster than the event: the same process.
			e.flags &^= scanned
			e.ppid = parent
			if known && e.flags&unproven != 0 {
				t.adopt(child, e, set, flags)
			}
			return
		}
		if at < e.start {
			return // an old event of an older life, overtaken by a scan
		}
		t.evict(child, e, at)
	}
	e := t.table.put(child)
	e.start, e.ppid, e.set, e.state, e.flags = at, parent, set, live, flags
	t.enter(child, e)
	if !known {
		t.await(parent, Key{child, at})
	}
	if len(t.waiting) > 0 {
		t.settle(child, e)
	}
}

// heritage is what a child of parent inherits.
func (t *Tracker) heritage(parent int32) (set SetID, flags uint8, known bool) {
	p := t.table.get(parent)
	if p == nil || p.flags&unproven != 0 {
		return Unattributed, unproven, false
	}
	return p.set, p.flags & inferred, true
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
		e.state, e.exit = live, 0
		t.count(e.set, +1)
		t.touch(pid, e)
	}
}

// Exit says that thread tid of process tgid exited. The process is dead when
// its last thread is.
func (t *Tracker) Exit(tid, tgid int32, at int64) {
	e := t.table.get(tgid)
	if e == nil || at < e.start {
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
	switch e.state {
	case live:
		t.die(tgid, e, at)
	case reaped:
		t.free(tgid, e)
	}
}

// Reap takes the life that a ledger line of pid belongs to. fits judges a
// candidate by its start; lives that fit are taken oldest first, since the
// kernel writes a pid's lines in the order of its deaths. Without a fit it
// returns false and changes nothing.
func (t *Tracker) Reap(pid int32, fits func(*Life) bool) (Life, bool) {
	for i := range t.older[pid] {
		if l := t.older[pid][i]; fits(&l) {
			t.dropOlder(pid, i)
			return l, true
		}
	}
	e := t.table.get(pid)
	if e == nil {
		return Life{}, false
	}
	l := t.lifeOf(pid, e)
	if !fits(&l) {
		return Life{}, false
	}
	switch e.state {
	case dead:
		t.free(pid, e)
	case task:
		t.starts[e.set]++ // a process after all
		t.free(pid, e)
	case live:
		if t.NoExits {
			t.count(e.set, -1)
			t.free(pid, e)
			break
		}
		// Its exit event is on the way, or it switched accounting and lives on.
		e.state, e.epoch = reaped, t.epoch
		t.count(e.set, -1)
		t.touch(pid, e)
	}
	return l, true
}

// Peek is Reap without taking the life.
func (t *Tracker) Peek(pid int32, fits func(*Life) bool) (Life, bool) {
	for _, l := range t.older[pid] {
		if fits(&l) {
			return l, true
		}
	}
	if e := t.table.get(pid); e != nil {
		if l := t.lifeOf(pid, e); fits(&l) {
			return l, true
		}
	}
	return Life{}, false
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

// Note marks the life of key as one the join keeps an account of.
func (t *Tracker) Note(k Key) {
	if e := t.table.get(k.PID); e != nil && e.start == k.Start && e.flags&noted == 0 {
		e.flags |= noted
		t.touch(k.PID, e)
	}
}

// Barrier says that all records of deaths known two barriers ago have been
// read, and calls missing for each such life that got none. The life is
// forgotten unless missing returns false; it is then asked again at the next
// barrier.
func (t *Tracker) Barrier(missing func(Life) bool) {
	t.epoch++
	n := 0
	for _, d := range t.deaths {
		if t.epoch-d.epoch < 2 {
			break
		}
		n++
		t.close(d.key, missing)
	}
	t.deaths = append(t.deaths[:0], t.deaths[n:]...)
}

// Bury calls f for every life that awaits its record and forgets it: no more
// records of that boot will come.
func (t *Tracker) Bury(f func(Life)) {
	deaths := t.deaths
	t.deaths = nil
	for _, d := range deaths {
		t.close(d.key, func(l Life) bool { f(l); return true })
	}
}

func (t *Tracker) close(k Key, missing func(Life) bool) {
	e := t.table.get(k.PID)
	if e != nil && e.start == k.Start && e.state == dead {
		if missing(t.lifeOf(k.PID, e)) {
			t.free(k.PID, e)
		} else {
			t.deaths = append(t.deaths, death{k, t.epoch})
		}
		return
	}
	for i, l := range t.older[k.PID] {
		if l.Start != k.Start {
			continue
		}
		if missing(l) {
			t.dropOlder(k.PID, i)
		} else {
			t.deaths = append(t.deaths, death{k, t.epoch})
		}
		return
	}
}

// Processes counts the live processes, LiveIn those of one set.
func (t *Tracker) Processes() int {
	n := 0
	for _, c := range t.live {
		n += int(c)
	}
	return n
}

// LiveIn counts the live processes of a set.
func (t *Tracker) LiveIn(set SetID) int {
	if int(set) >= len(t.live) {
		return 0
	}
	return int(t.live[set])
}

// Awaiting counts the dead whose record was not read yet.
func (t *Tracker) Awaiting() int { return len(t.deaths) }

// EachLive calls f for every live process. f must not change the tracker.
func (t *Tracker) EachLive(f func(Life)) {
	t.table.all(func(pid int32, e *entry) {
		if e.state == live {
			f(t.lifeOf(pid, e))
		}
	})
}

// TakeStarts calls f for every set that processes came into since the last
// call, with their number: by fork, by being added or by late adoption, which
// takes them from another set and may make the number negative there.
func (t *Tracker) TakeStarts(f func(SetID, int64)) {
	for set, n := range t.starts {
		if n != 0 {
			f(set, n)
		}
	}
	clear(t.starts)
}

func (t *Tracker) lifeOf(pid int32, e *entry) Life {
	return Life{
		PID: pid, PPID: e.ppid, Start: e.start, Exit: e.exit, Set: e.set,
		Inferred: e.flags&inferred != 0, Unproven: e.flags&unproven != 0,
		Noted: e.flags&noted != 0, Again: e.state == reaped,
	}
}

// enter counts a new live entry.
func (t *Tracker) enter(pid int32, e *entry) {
	t.starts[e.set]++
	t.count(e.set, +1)
	if e.set != Ungrouped {
		t.touch(pid, e)
	}
}

func (t *Tracker) count(set SetID, d int32) {
	for int(set) >= len(t.live) {
		t.live = append(t.live, 0)
	}
	t.live[set] += d
}

func (t *Tracker) die(pid int32, e *entry, at int64) {
	e.state, e.exit, e.epoch = dead, at, t.epoch
	t.count(e.set, -1)
	t.deaths = append(t.deaths, death{Key{pid, e.start}, t.epoch})
	t.touch(pid, e)
}

// free ends the life of an entry whose record is read.
func (t *Tracker) free(pid int32, e *entry) {
	if e.flags&stored != 0 {
		t.gone = append(t.gone, Key{pid, e.start})
	}
	delete(t.waiting, pid)
	t.table.drop(pid)
}

// evict makes room for another process with the same pid.
func (t *Tracker) evict(pid int32, e *entry, at int64) {
	if e.state == live {
		t.Evicted++
		t.die(pid, e, at)
	}
	if e.state == dead {
		l := t.lifeOf(pid, e)
		l.stored = e.flags&stored != 0
		t.older[pid] = append(t.older[pid], l)
		e.flags &^= stored // the store's copy stays until the record is read
	}
	t.free(pid, e)
}
