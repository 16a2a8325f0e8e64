// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"elsa/internal/store"
	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/cnfork"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// TestModelReclaim lets groups and processes come and go, so that ids of sets name
// one set after the other, with deaths that are corrected late, transactions that
// fail and crashes. Against a plain account of who is in which groups and used what.
func TestModelReclaim(t *testing.T) {
	most := 0
	rapid.Check(t, func(rt *rapid.T) {
		m := &reclaimModel{TB: t, machine: newMachine(), db: openStore(t), now: at(time.Hour)}
		defer m.db.Close()
		m.truth = truth{living: map[int32]*member{}, bills: map[uint32]*billed{}}
		m.machine.procs[1] = &proc.Process{PID: 1, Start: clock.At(0, clock.Tick), State: 'S', Threads: 1}
		m.Engine = newEngine(t, m.machine, m.now)
		if err := m.Scan(m.now); err != nil {
			t.Fatal(err)
		}
		m.commit(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"":        m.check,
			"make":    m.make,
			"delete":  m.delete,
			"fork":    m.fork,
			"work":    m.work,
			"add":     m.add,
			"add2":    m.add,
			"remove":  m.remove,
			"end":     m.end,
			"exact":   m.exact,
			"late":    m.late,
			"commit":  m.commit,
			"commit2": m.commit,
			"fail":    m.fail,
			"crash":   m.crash,
		})
		m.late(rt)
		m.check(rt)
		m.commit(rt)
		m.checkHistory(rt)
		most = max(most, m.tracker.Sets.Len())
	})
	t.Logf("%d sets at most", most)
}

// member is a process, with what it used, what of that was billed to sets that it
// left, and the groups that it is in, or was in when it ended.
type member struct {
	pid       int32
	parent    int32 // or its reaper
	begun     clock.Boot
	wall      int64
	in        map[uint32]bool
	used, old time.Duration
	ended     bool
	grouped   bool          // at its end
	exact     time.Duration // what the record that may come will tell; of the dead
}

// billed is what a group was billed for what is over.
type billed struct {
	cpu   time.Duration
	ended uint64
}

// truth is what a crash takes back to the last commit.
type truth struct {
	living             map[int32]*member
	waiting            []*member // dead whose exact record may come
	bills              map[uint32]*billed
	grouped, strangers billed
}

func (tr *truth) clone() truth {
	c := truth{living: map[int32]*member{}, bills: map[uint32]*billed{}, grouped: tr.grouped, strangers: tr.strangers}
	copied := func(p *member) *member {
		q := *p
		q.in = maps.Clone(p.in)
		return &q
	}
	for pid, p := range tr.living {
		c.living[pid] = copied(p)
	}
	for _, p := range tr.waiting {
		c.waiting = append(c.waiting, copied(p))
	}
	for g, b := range tr.bills {
		same := *b
		c.bills[g] = &same
	}
	return c
}

type reclaimModel struct {
	testing.TB
	*Engine
	machine *machine
	db      *store.Store
	now     Now
	truth
	saved truth
	pids  int32
	names int
}

func (m *reclaimModel) pass(d time.Duration) { m.now = m.now.after(d) }

// bill puts CPU and deaths on the bills of the groups that a process is in.
func (m *reclaimModel) bill(p *member, grouped bool, cpu time.Duration, ended uint64) {
	for g := range p.in {
		m.bills[g].cpu += cpu
		m.bills[g].ended += ended
	}
	to := &m.strangers
	if grouped {
		to = &m.grouped
	}
	to.cpu += cpu
	to.ended += ended
}

// split bills what a process used to the groups it is in.
func (m *reclaimModel) split(p *member) {
	m.bill(p, len(p.in) > 0, p.used-p.old, 0)
	p.old = p.used
}

func (m *reclaimModel) some(t *rapid.T) *member {
	if len(m.living) == 0 {
		t.SkipNow()
	}
	return m.living[rapid.SampledFrom(slices.Sorted(maps.Keys(m.living))).Draw(t, "pid")]
}

func (m *reclaimModel) group(t *rapid.T) *groups.Group {
	if len(m.Groups()) == 0 {
		t.SkipNow()
	}
	return rapid.SampledFrom(m.Groups()).Draw(t, "group")
}

func (m *reclaimModel) life(t *rapid.T, p *member) groups.Life {
	l, ok := m.tracker.Live(p.pid)
	if !ok {
		t.Fatalf("process %d is not there", p.pid)
	}
	return l
}

func (m *reclaimModel) make(t *rapid.T) {
	if len(m.Groups()) > 5 {
		t.SkipNow()
	}
	m.names++
	g, err := m.MakeGroup(fmt.Sprint("g", m.names), 0, nil, m.now)
	if err != nil {
		t.Fatal(err)
	}
	m.bills[g.ID] = &billed{}
}

func (m *reclaimModel) delete(t *rapid.T) {
	g := m.group(t)
	for _, p := range m.living {
		if p.in[g.ID] && len(p.in) == 1 {
			m.split(p)
		}
		delete(p.in, g.ID)
	}
	for _, p := range m.waiting {
		delete(p.in, g.ID)
	}
	delete(m.bills, g.ID)
	m.DeleteGroup(g)
}

func (m *reclaimModel) event(kind cnfork.Kind, parent, pid int32) {
	m.Events([]cnfork.Event{{Kind: kind, PID: pid, TGID: pid, ParentPID: parent, ParentTGID: parent, Time: clock.Mono(m.now.Boot)}}, 0, 0, m.now)
}

func (m *reclaimModel) fork(t *rapid.T) {
	m.pass(10 * time.Millisecond)
	parent, in := int32(1), map[uint32]bool{}
	if len(m.living) > 0 && rapid.Bool().Draw(t, "of one") {
		p := m.some(t)
		parent, in = p.pid, maps.Clone(p.in)
	}
	m.pids++
	p := &member{pid: 100 + m.pids, parent: parent, begun: m.now.Boot, wall: m.now.Wall.Unix(), in: in}
	m.living[p.pid] = p
	m.show(p)
	m.event(cnfork.Fork, parent, p.pid)
}

// show lets the machine have a process.
func (m *reclaimModel) show(p *member) {
	m.machine.procs[p.pid] = &proc.Process{PID: p.pid, PPID: p.parent, Start: clock.At(p.begun, clock.Tick), State: 'S', Threads: 1}
	m.machine.used[p.pid] = &proc.Sample{CPU: p.used, User: p.used, MaxRSS: 1 << 20}
}

func (m *reclaimModel) work(t *rapid.T) {
	p := m.some(t)
	p.used += time.Duration(rapid.IntRange(1, 9).Draw(t, "ms")) * time.Millisecond
	s := m.machine.used[p.pid]
	s.CPU, s.User = p.used, p.used
	if l := m.life(t, p); l.Set != groups.Ungrouped || l.HasAccount {
		m.TakeSample(l.Key(), s)
	}
}

func (m *reclaimModel) add(t *rapid.T) {
	p, g := m.some(t), m.group(t)
	move := rapid.IntRange(0, 4).Draw(t, "move") == 0
	if p.in[g.ID] && !(move && len(p.in) > 1) {
		t.SkipNow()
	}
	m.split(p)
	if move {
		clear(p.in)
	}
	p.in[g.ID] = true
	if !m.Add(m.life(t, p), g, move, false, 0, m.now) {
		t.Fatalf("process %d was not put in %s", p.pid, g.Name)
	}
}

func (m *reclaimModel) remove(t *rapid.T) {
	p, g := m.some(t), m.group(t)
	if !p.in[g.ID] {
		t.SkipNow()
	}
	m.split(p)
	delete(p.in, g.ID)
	if !m.Remove(m.life(t, p), g, m.now) {
		t.Fatalf("process %d was not taken out of %s", p.pid, g.Name)
	}
}

func (m *reclaimModel) end(t *rapid.T) {
	p := m.some(t)
	m.pass(10 * time.Millisecond)
	delete(m.living, p.pid)
	delete(m.machine.procs, p.pid)
	for pid, c := range m.living {
		if c.parent == p.pid {
			c.parent, m.machine.procs[pid].PPID = 1, 1
		}
	}
	p.used += time.Duration(rapid.IntRange(0, 9).Draw(t, "ms")) * time.Millisecond
	p.ended, p.grouped, p.exact = true, len(p.in) > 0, p.used+time.Duration(rapid.IntRange(0, 9).Draw(t, "more ms"))*time.Millisecond
	m.bill(p, p.grouped, p.used-p.old, 1)
	m.waiting = append(m.waiting, p)
	m.event(cnfork.Exit, 0, p.pid)
	m.Lines([]acct.Record{m.record(p, acct.BSD, p.used)}, nil, m.now)
}

func (m *reclaimModel) record(p *member, source acct.Source, cpu time.Duration) acct.Record {
	r := acct.Record{Source: source, Whole: true, PID: p.pid, PPID: p.parent, Begin: p.wall, User: cpu, CPU: cpu, Elapsed: m.now.Boot.Sub(p.begun)}
	copy(r.Comm[:], fmt.Sprint("c", p.pid%3))
	if source == acct.Exact {
		r.Start = int64(p.begun)
	}
	return r
}

// exact tells of a death more than its line did.
func (m *reclaimModel) exact(t *rapid.T) {
	if len(m.waiting) == 0 {
		t.SkipNow()
	}
	i := rapid.IntRange(0, len(m.waiting)-1).Draw(t, "death")
	p := m.waiting[i]
	m.waiting = slices.Delete(m.waiting, i, i+1)
	m.bill(p, p.grouped, p.exact-p.used, 0)
	m.Exact([]acct.Record{m.record(p, acct.Exact, p.exact)}, 0, 0, m.now)
}

// late gives up the exact records that did not come.
func (m *reclaimModel) late(*rapid.T) {
	m.pass(time.Minute)
	m.waiting = nil
	m.EndStep(m.now)
}
