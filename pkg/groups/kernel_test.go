// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"maps"
	"slices"

	"pgregory.net/rapid"

	"elsa/pkg/clock"
)

// kernel is a make-believe kernel with few pids, so that they are soon used
// again. It knows the truth: who forked whom, and who is in which groups by a
// plain reading of the whole story.
type kernel struct {
	*world
	live    map[int32]*process
	story   []deed
	born    int
	ledger  []*process // dead, in order, their lines not read yet
	deaf    bool       // events are lost
	lossy   bool       // one was since the last look at /proc
	missed  bool       // and the tracker was not told so yet
	queue   *[]func()  // or nil: where events wait
	lastTID int32
}

type process struct {
	id         int // never used again
	pid        int32
	start      clock.Boot
	stamp      clock.Boot // of its fork event
	parent     *process   // who forked it
	reaper     int32      // 0, or whose child it became
	threads    []int32    // live threads beside the leader
	leaderGone bool
	unheard    bool // its fork event was lost
	doubtful   bool // an event before its birth was lost
	queued     bool // its fork event was read after the look at /proc
	vague      bool // its place was not known for some time
	end        clock.Boot
}

// deed is a line of the story: a fork, or what the administrator did.
type deed struct {
	what   string // of the words in members
	id, of int
	gid    uint32
}

// unknown is a group that stands for groups that cannot be known.
const unknown = 0

func newKernel() *kernel {
	k := &kernel{world: newWorld(), live: map[int32]*process{}, lastTID: 1000}
	k.live[1] = &process{pid: 1}
	return k
}

// members tells the whole story again and returns who is in which groups.
func (k *kernel) members() map[int]map[uint32]bool {
	in := map[int]map[uint32]bool{0: {}}
	for _, d := range k.story {
		switch d.what {
		case "fork":
			in[d.id] = maps.Clone(in[d.of])
		case "only":
			in[d.id] = map[uint32]bool{d.gid: true}
		case "none":
			in[d.id] = map[uint32]bool{}
		case "add":
			delete(in[d.id], unknown)
			in[d.id][d.gid] = true
		case "remove":
			delete(in[d.id], d.gid)
		case "drop":
			for _, groups := range in {
				delete(groups, d.gid)
			}
		}
	}
	return in
}

func (k *kernel) tell(event func()) {
	switch {
	case k.deaf:
		k.missed, k.lossy = true, true
	case k.queue != nil:
		*k.queue = append(*k.queue, event)
	default:
		if k.missed {
			k.missed = false
			k.Lost()
		}
		event()
	}
}

// any draws one of the live processes for which ok holds, or skips the action.
func (k *kernel) any(t *rapid.T, ok func(*process) bool) *process {
	var from []int32
	for pid, p := range k.live {
		if ok(p) {
			from = append(from, pid)
		}
	}
	if len(from) == 0 {
		t.SkipNow()
	}
	slices.Sort(from)
	return k.live[rapid.SampledFrom(from).Draw(t, "pid")]
}

func notInit(p *process) bool { return p.pid != 1 }

func (k *kernel) time(t *rapid.T) clock.Boot {
	k.now += clock.Boot(rapid.SampledFrom([]int{1e5, 1e7, 1e9, 1e10}).Draw(t, "pause"))
	return k.now
}

const pids = 13

func (k *kernel) forkOne(t *rapid.T) *process {
	parent := k.any(t, func(*process) bool { return true })
	var unused []int32
	for pid := int32(3); pid < pids; pid++ { // 2 makes kernel threads
		if k.live[pid] == nil {
			unused = append(unused, pid)
		}
	}
	if len(unused) == 0 {
		t.SkipNow()
	}
	k.born++
	child := rapid.SampledFrom(unused).Draw(t, "child")
	// Two lives of one pid that begin in the same tick, or within the time that the
	// event of the first is late, are not told apart by a look at /proc, but where
	// their parents tell.
	k.now += 10*ms + 5*ms + ms/5
	p := &process{
		id: k.born, pid: child, start: k.time(t), parent: parent, unheard: k.deaf, doubtful: k.lossy, queued: k.queue != nil,
	}
	k.now += clock.Boot(rapid.SampledFrom([]int{0, 1e5, 5e6}).Draw(t, "copying"))
	p.stamp = k.now
	k.live[p.pid] = p
	k.story = append(k.story, deed{what: "fork", id: p.id, of: parent.id})
	k.tell(func() { k.Fork(parent.pid, p.pid, p.stamp) })
	return p
}

func (k *kernel) makeThread(t *rapid.T) {
	p := k.any(t, func(*process) bool { return true })
	k.lastTID++
	p.threads = append(p.threads, k.lastTID)
	k.tell(func() { k.Thread(p.pid) })
}

func (k *kernel) endThread(t *rapid.T) {
	p := k.any(t, func(p *process) bool { return len(p.threads) > 0 })
	tid := p.threads[0]
	p.threads = p.threads[1:]
	at := k.time(t)
	k.tell(func() { k.Exit(tid, p.pid, at) })
	k.endIfLast(p)
}

func (k *kernel) endLeader(t *rapid.T) *process {
	p := k.any(t, func(p *process) bool { return notInit(p) && !p.leaderGone })
	p.leaderGone = true
	at := k.time(t)
	k.tell(func() { k.Exit(p.pid, p.pid, at) })
	k.endIfLast(p)
	return p
}

// endIfLast writes the line of a process whose last thread exited.
func (k *kernel) endIfLast(p *process) {
	if !p.leaderGone || len(p.threads) > 0 {
		return
	}
	delete(k.live, p.pid)
	p.end = k.now
	k.ledger = append(k.ledger, p)
	k.giveAway(p)
}

// giveAway gives the children of a process to process 1.
func (k *kernel) giveAway(p *process) {
	for _, c := range k.live {
		if c.parent == p {
			c.reaper = 1
		}
	}
}

func (k *kernel) execLeader(t *rapid.T) {
	p := k.any(t, func(p *process) bool { return !p.leaderGone })
	k.killThreads(t, p)
	k.tell(func() { k.Exec(p.pid) })
}

// execThread is an exec from a thread that is not the leader, which may be gone.
func (k *kernel) execThread(t *rapid.T) {
	p := k.any(t, func(p *process) bool { return notInit(p) && len(p.threads) > 0 })
	p.threads = p.threads[1:] // it takes the leader's id, and is not heard of again
	k.killThreads(t, p)
	if !p.leaderGone {
		at := k.time(t)
		k.tell(func() { k.Exit(p.pid, p.pid, at) })
	}
	p.leaderGone = false
	k.tell(func() { k.Exec(p.pid) })
}

func (k *kernel) killThreads(t *rapid.T, p *process) {
	for _, tid := range p.threads {
		at := k.time(t)
		k.tell(func() { k.Exit(tid, p.pid, at) })
	}
	p.threads = nil
}

// change lets the administrator do something to one process.
func (k *kernel) change(t *rapid.T) {
	p := k.any(t, notInit)
	d := deed{what: rapid.SampledFrom([]string{"add", "only", "remove"}).Draw(t, "what"), id: p.id, gid: group(t)}
	switch d.what {
	case "add":
		k.add(p.pid, d.gid)
	case "only":
		k.move(p.pid, d.gid)
	case "remove":
		k.remove(p.pid, d.gid)
	}
	k.story = append(k.story, d)
}

func group(t *rapid.T) uint32 { return rapid.Uint32Range(1, 4).Draw(t, "group") }

// listing is /proc.
func (k *kernel) listing() []Scanned {
	var all []Scanned
	for _, p := range k.live {
		all = append(all, k.shown(p))
	}
	return all
}

// shown is a process as /proc shows it.
func (k *kernel) shown(p *process) Scanned {
	s := found(p.pid, 0, p.start)
	if p.parent != nil {
		s.PPID = p.parent.pid
	}
	if p.reaper != 0 {
		s.PPID = p.reaper
	}
	s.Threads += int32(len(p.threads))
	s.Headless, s.Ending = p.leaderGone && len(p.threads) > 0, p.leaderGone
	return s
}

// fits is a ledger line's view of the life that it belongs to.
func (p *process) fits(l *Life) bool {
	return l.Start == inProc(p.start) || l.Start == stamped(p.stamp)
}
