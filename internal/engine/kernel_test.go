// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"elsa/pkg/acct"
	"elsa/pkg/cnfork"
)

// kernel is a made-up kernel. It knows the truth of every process there ever was:
// what it used, and by a plain reading of the story, which groups it is in. It
// tells of processes as the real one does: events of forks, execs and exits, one
// taskstats message and one line of the accounting file for each death, and an
// exact record once the process was waited for. Whoever listens has a socket; what
// a socket has no room for is lost and counted.
type kernel struct {
	boot   int   // number of the boot
	mono   int64 // CLOCK_MONOTONIC
	asleep int64 // CLOCK_BOOTTIME less CLOCK_MONOTONIC: the time suspended
	booted int64 // the wall clock less CLOCK_BOOTTIME

	pids     map[int32]*process // what /proc shows
	all      []*process         // by id
	freed    map[int32]int64    // when a pid was last used, CLOCK_MONOTONIC
	lines    []line             // the accounting file
	off      bool               // no lines are written
	exact    bool               // exact records are made
	full     [3]bool            // sockets have no room for: events, taskstats, exact records
	sockets  []*socket
	released []acct.Record // exact records that come after a grace period
	tids     int32
	story    []string // what happened, for the report of a failure
}

func (k *kernel) note(format string, args ...any) {
	k.story = append(k.story, fmt.Sprintf("%12d ", k.boottime())+fmt.Sprintf(format, args...))
}

// process is a process as it truly is.
type process struct {
	id, boot  int // id is never used again
	pid       int32
	ppid      int32 // at this moment: the one who forked it, or process 1
	parent    *process
	threads   []int32 // besides the leader
	headless, // the leader exited, threads live
	exiting, // its line is written, its exit event is not sent
	dead, // a zombie, or gone
	gone bool // waited for
	uid    uint32 // 2*id, or one more: a bill by user is a bill by process
	comm   string
	start  int64 // CLOCK_BOOTTIME
	began  int64 // the same moment by CLOCK_MONOTONIC
	used   figures
	groups map[uint32]bool
	ended  int64 // CLOCK_MONOTONIC; zero while it lives
	status uint32
	ticks  time.Duration // its CPU as the tick sampled it, once it ended
	lined  bool          // a whole line of it is in the ledger
	missed bool          // a record of it was lost
	// When a service ended, it was dead and its exact record had not come; late: and it
	// had waited longer for that than is kept.
	open, late bool
	others     []*process // that had its pid in its boot
	book       book       // what the service should know of it
	stored     book       // and what of that is in its database
}

// figures are what the model follows; all others are handled like these.
type figures struct {
	cpu          time.Duration
	faults, read uint64
}

func (f figures) plus(g figures) figures {
	return figures{f.cpu + g.cpu, f.faults + g.faults, f.read + g.read}
}

// beyond is what f has more than g, field by field.
func (f figures) beyond(g figures) figures {
	return figures{max(f.cpu-g.cpu, 0), f.faults - min(f.faults, g.faults), f.read - min(f.read, g.read)}
}

// line is one of the accounting file; a torn one is no record.
type line struct {
	acct.Record
	torn bool
	of   *process
}

// socket is where a service listens.
type socket struct {
	events           queue[cnfork.Event]
	taskstats, exact queue[acct.Record]
}

// queue holds what was sent and not read, in batches with what was lost before.
type queue[T any] []batch[T]

type batch[T any] struct {
	lost  uint64
	items []T
}

func (q *queue[T]) send(x T, full bool) {
	n := len(*q)
	switch {
	case full && (n == 0 || len((*q)[n-1].items) > 0):
		*q = append(*q, batch[T]{lost: 1})
	case full:
		(*q)[n-1].lost++
	case n == 0:
		*q = queue[T]{{items: []T{x}}}
	default:
		(*q)[n-1].items = append((*q)[n-1].items, x)
	}
}

func newKernel() *kernel {
	k := &kernel{booted: time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC).UnixNano()}
	k.start()
	return k
}

// start begins a boot: process 1 is there, and nobody listens. Each boot is looked
// at from a later time of its clock than any boot before has reached: a line of the
// last boot that is read when forks of this one are known already may be taken for
// that of a process with the same pid that began as long after its boot.
func (k *kernel) start() {
	k.boot++
	k.mono, k.asleep = k.boottime()+int64(time.Minute), 0
	k.pids, k.freed, k.sockets, k.released, k.tids = map[int32]*process{}, map[int32]int64{}, nil, nil, 100000
	k.newProcess(1, nil)
}

func (k *kernel) newProcess(pid int32, parent *process) *process {
	id := len(k.all)
	p := &process{id: id, boot: k.boot, pid: pid, parent: parent, uid: uint32(2 * id), comm: "sh", start: k.boottime(), began: k.mono, groups: map[uint32]bool{}}
	if parent != nil {
		p.ppid, p.comm, p.groups = parent.pid, parent.comm, maps.Clone(parent.groups)
		p.uid |= parent.uid & 1
	}
	k.pids[pid] = p
	k.all = append(k.all, p)
	return p
}

func (k *kernel) boottime() int64 { return k.mono + k.asleep }
func (k *kernel) wall() int64     { return k.booted + k.boottime() }

// pass lets time pass. What was released is past its grace period then.
func (k *kernel) pass(d time.Duration) {
	k.mono += int64(d)
	for _, r := range k.released {
		for _, s := range k.sockets {
			s.exact.send(r, k.full[2])
		}
		k.all[r.UID/2].missed = k.all[r.UID/2].missed || k.full[2]
	}
	k.released = nil
}

func (k *kernel) tell(e cnfork.Event) {
	e.Time = monoTime(k.mono)
	for _, s := range k.sockets {
		s.events.send(e, k.full[0])
	}
}

// fork makes a process. Its event is stamped a little later than its start.
func (k *kernel) fork(parent *process, pid int32, late time.Duration) *process {
	p := k.newProcess(pid, parent)
	k.note("%v forks %v, and the event is %v late", parent, p, late)
	k.pass(late)
	k.tell(cnfork.Event{Kind: cnfork.Fork, PID: pid, TGID: pid, ParentPID: parent.pid, ParentTGID: parent.pid})
	return p
}

func (k *kernel) makeThread(p *process) {
	k.tids++
	p.threads = append(p.threads, k.tids)
	k.tell(cnfork.Event{Kind: cnfork.Fork, PID: k.tids, TGID: p.pid, ParentPID: p.ppid, ParentTGID: p.ppid})
}

// exec leaves one thread: the leader, whoever called it.
func (k *kernel) exec(p *process, comm string) {
	for _, tid := range p.threads {
		k.tell(cnfork.Event{Kind: cnfork.Exit, PID: tid, TGID: p.pid})
	}
	k.note("%v executes %s", p, comm)
	p.threads, p.headless, p.comm = nil, false, comm
	k.tell(cnfork.Event{Kind: cnfork.Exec, PID: p.pid, TGID: p.pid})
}

func (k *kernel) setUser(p *process) {
	p.uid ^= 1
	k.tell(cnfork.Event{Kind: cnfork.UID, PID: p.pid, TGID: p.pid, RealID: p.uid})
}

// exitThread ends one thread, or the leader while threads live.
func (k *kernel) exitThread(p *process, leader bool) {
	k.note("%v: a thread ends, the leader: %v", p, leader)
	tid := p.pid
	if leader {
		p.headless = true
	} else {
		tid, p.threads = p.threads[0], p.threads[1:]
	}
	part := p.record(acct.Taskstats, k)
	part.Whole = false // one thread's figures; the whole process's come at its end
	k.sendTaskstats(part)
	k.tell(cnfork.Event{Kind: cnfork.Exit, PID: tid, TGID: p.pid})
}

func (k *kernel) sendTaskstats(r acct.Record) {
	k.all[r.UID/2].missed = k.all[r.UID/2].missed || k.full[1]
	for _, s := range k.sockets {
		s.taskstats.send(r, k.full[1])
	}
}

// die ends a process up to the moment when its line is written. finish sends its
// exit event. Ticks say how far the figures are off that the tick sampled.
func (k *kernel) die(p *process, status uint32, ticks time.Duration, torn bool) {
	for len(p.threads) > 0 { // the leader is the last, or is gone
		if p.headless && len(p.threads) == 1 {
			break
		}
		k.exitThread(p, false)
	}
	k.note("%v dies, status %x; no line: %v, torn: %v", p, status, k.off, torn)
	p.exiting, p.status, p.ended = true, status, k.mono
	p.ticks = max(p.used.cpu+ticks, 0)
	k.sendTaskstats(p.record(acct.Taskstats, k))
	if !k.off {
		k.lines = append(k.lines, line{p.record(acct.BSD, k), torn, p})
		p.lined = !torn
	}
}

func (k *kernel) finish(p *process) {
	tid := p.pid
	if p.headless {
		tid = p.threads[0]
	}
	k.note("%v is a zombie", p)
	p.exiting, p.dead, p.threads = false, true, nil
	k.tell(cnfork.Event{Kind: cnfork.Exit, PID: tid, TGID: p.pid})
	for _, c := range k.shown() { // its children get process 1, which waits for the dead
		if c.ppid == p.pid && c != p {
			if c.ppid = 1; c.dead {
				k.wait(c)
			}
		}
	}
	k.wake(p)
}

// wake lets process 1 wait for a zombie of its own.
func (k *kernel) wake(p *process) {
	if p.ppid == 1 {
		k.wait(p)
	}
}

// wait releases a zombie. Its pid may be used again, and its exact record is made.
func (k *kernel) wait(p *process) {
	k.note("%v was waited for", p)
	p.gone = true
	delete(k.pids, p.pid)
	k.freed[p.pid] = k.mono
	if k.exact {
		k.released = append(k.released, p.record(acct.Exact, k))
	}
}

// shown are the processes in /proc, in order of pid.
func (k *kernel) shown() []*process {
	all := slices.Collect(maps.Values(k.pids))
	slices.SortFunc(all, func(a, b *process) int { return int(a.pid - b.pid) })
	return all
}

// record is the word of a source on a process that ends. The line and taskstats
// have its life time by CLOCK_MONOTONIC, and when it began by the wall clock as it
// is set now, less that, in whole seconds.
func (p *process) record(source acct.Source, k *kernel) acct.Record {
	lived := time.Duration(p.ended - p.began)
	if p.ended == 0 { // a thread's
		lived = time.Duration(k.mono - p.began)
	}
	r := acct.Record{
		Source: source, Whole: true, PID: p.pid, PPID: p.ppid, UID: p.uid, ExitCode: p.status,
		Elapsed: lived, MinorFaults: p.used.faults, ReadBytes: p.used.read,
	}
	copy(r.Comm[:], p.comm)
	if p.comm == "sh" {
		r.Flags = acct.FlagFork
	}
	begin := k.wall()/1e9 - int64(lived/time.Second)
	cpu := p.ticks
	switch source {
	case acct.BSD:
		r.Begin, r.Elapsed, r.ReadBytes = begin, lived.Truncate(10*time.Millisecond), 0
		cpu = lineCPU(cpu)
	case acct.Taskstats:
		r.Begin, r.Elapsed, r.Runtime = begin, lived.Truncate(time.Microsecond), p.used.cpu
	case acct.Exact:
		r.Start, cpu = p.start, p.used.cpu
	}
	r.User = cpu / 3
	r.System, r.CPU = cpu-r.User, cpu
	return r
}

// lineCPU is how a line has CPU time: in ticks of 10 ms.
func lineCPU(cpu time.Duration) time.Duration { return cpu.Truncate(10 * time.Millisecond) }

// String is the story, for the report of a failure.
func (k *kernel) String() string { return strings.Join(k.story, "\n") }
