// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"elsa/pkg/usage"
)

// TestModel lets a made-up kernel and its administrator do random things while a
// service follows, which is crashed, stopped, deafened and rebooted. After each the
// laws are checked that hold at any time, and in the end, when all is told, those
// that hold then; see laws_test.go.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{kernel: newKernel(), groups: map[uint32]bool{}, merged: map[uint32]uint32{}}
		m.exact = rapid.IntRange(0, 4).Draw(t, "no exact records") != 0
		m.view = &view{kernel: m.kernel, sampled: func(p *process) { p.book.sample(p.used) }}
		m.listen()
		m.service = m.launch(newDisk(), m.sockets[0], false, false)
		m.restore(t, false)
		m.show(t, m.commit(t, false))
		t.Repeat(map[string]func(*rapid.T){
			"":        m.check,
			"act":     m.act,
			"act2":    m.act,
			"act3":    m.act,
			"act4":    m.act,
			"read":    m.read,
			"step":    func(t *rapid.T) { m.step(t) },
			"serve":   m.serve,
			"serve2":  m.serve,
			"group":   m.makeGroup,
			"add":     m.add,
			"add2":    m.add,
			"remove":  m.remove,
			"delete":  m.deleteGroup,
			"merge":   m.mergeGroups,
			"keep":    m.keepGroup,
			"time":    m.timePasses,
			"room":    m.room,
			"off":     func(t *rapid.T) { m.off = rapid.Bool().Draw(t, "suspended") },
			"crash":   m.crash,
			"restart": m.restart,
			"reboot":  m.reboot,
		})
		m.settle(t)
	})
}

// model is the kernel, the service, and what the service should know.
type model struct {
	*kernel
	*service
	twin   *service // see services
	view   *view
	groups map[uint32]bool   // those that exist
	merged map[uint32]uint32 // those that were merged, and into which
	over   bool              // nothing happens any more
	// wish: what the administrator wished is not in the database. He was told so;
	// what a crash would make of it is not followed.
	wish bool
	// jumped: the clock was set after a line that is not in the database; jumps: it
	// ever was.
	jumped, jumps bool
	settings      int // how often
	// late: an exact record came after its death was settled.
	late bool

	shown, safe *usage.Snapshot // last shown, and last shown after a commit that succeeded
}

// book is what the service should know of a process from what it was told.
type book struct {
	last  figures            // by the last sample
	base  figures            // of that, what is billed to groups it left
	parts map[string]figures // the same by groups
	seen  []figures          // every sample
	// taskstats and exact: the record came; when, for exact. charged is when its
	// line was read.
	taskstats      bool
	exact, charged int64
	// risky: its place, or its record, may be lost; see endanger. Once it was, it
	// stays so in ever.
	risky, ever bool
}

func (b *book) clone() book {
	c := *b
	c.parts, c.seen = maps.Clone(b.parts), slices.Clone(b.seen)
	return c
}

func (b *book) sample(f figures) {
	b.last = f
	b.seen = append(b.seen, f)
}

// leave bills what was used by the last sample to the groups that are left.
func (b *book) leave(from map[uint32]bool) {
	if b.parts == nil {
		b.parts = map[string]figures{}
	}
	name := nameOf(from)
	b.parts[name] = b.parts[name].plus(b.last.beyond(b.base))
	b.base = b.last
}

// nameOf names a set of groups.
func nameOf(set map[uint32]bool) string { return fmt.Sprint(slices.Sorted(maps.Keys(set))) }

func (m *model) bootID() string { return fmt.Sprint("boot ", m.boot) }

func (m *model) listen() {
	s := &socket{}
	m.sockets = append(m.sockets, s)
}

// endanger says that something was lost. Who lived by then, or died lately, may not
// be known, or not as what it is.
func (m *model) endanger() {
	m.twin = nil
	for _, p := range m.all {
		if p.boot == m.boot && (p.ended == 0 || m.mono-p.ended < int64(time.Minute)) || p.book.charged == 0 {
			p.book.risky, p.book.ever = true, true
		}
	}
}

// mixed reports whether a process may have been taken for another that had its pid
// within the seconds that a line does not tell apart, or as long as the clock jumped
// or stood: where the events of one, or
// its line or another record, are lost. That is what DESIGN, "Loss", admits.
func (m *model) mixed(p *process) bool {
	lost := func(p *process) bool { return p.book.ever || p.missed || p.ended != 0 && !p.lined }
	return m.alike(p, func(o *process) bool { return lost(p) || lost(o) })
}

// alike reports whether there was another process, of which ok is true, that a line
// does not tell from p.
func (m *model) alike(p *process, ok func(*process) bool) bool {
	return slices.ContainsFunc(p.others, func(o *process) bool {
		apart := time.Duration(max(p.began-o.began, o.began-p.began))
		return (apart < 5*time.Second || m.jumps || m.asleep > 0) && ok(o)
	})
}

// some draws one of the processes for which ok holds; nil if there is none.
func (m *model) some(t *rapid.T, ok func(*process) bool) *process {
	var from []*process
	for _, p := range m.kernel.shown() {
		if ok(p) {
			from = append(from, p)
		}
	}
	if len(from) == 0 {
		return nil
	}
	return from[rapid.IntRange(0, len(from)-1).Draw(t, "process")]
}

func runs(p *process) bool     { return !p.exiting && !p.dead }
func runsUser(p *process) bool { return runs(p) && p.pid != 1 }

// race lets the machine do something while the service is busy.
func (m *model) race(t *rapid.T, now bool) {
	if now && !m.over {
		m.act(t)
		m.act(t)
	}
}

// act lets one process do something.
func (m *model) act(t *rapid.T) {
	m.pass(rapid.SampledFrom([]time.Duration{time.Microsecond, 3 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second}).Draw(t, "pause"))
	switch rapid.SampledFrom([]string{"fork", "fork", "fork", "run", "run", "die", "die", "finish", "wait", "wait", "thread", "end thread", "exec", "user"}).Draw(t, "act") {
	case "fork":
		if parent := m.some(t, runs); parent != nil {
			m.forkOne(t, parent)
		}
	case "run":
		if p := m.some(t, runs); p != nil {
			p.used = p.used.plus(figures{
				time.Duration(rapid.IntRange(1, 30_000).Draw(t, "cpu")) * time.Microsecond,
				uint64(rapid.IntRange(0, 9).Draw(t, "faults")), uint64(rapid.IntRange(0, 9).Draw(t, "read")),
			})
		}
	case "die":
		if p := m.some(t, runsUser); p != nil {
			m.end(t, p)
		}
	case "finish":
		if p := m.some(t, func(p *process) bool { return p.exiting }); p != nil {
			m.finish(p)
		}
	case "wait":
		if p := m.some(t, func(p *process) bool { return p.dead }); p != nil {
			m.wait(p)
		}
	case "thread":
		if p := m.some(t, runs); p != nil {
			m.makeThread(p)
		}
	case "end thread":
		if p := m.some(t, func(p *process) bool { return runsUser(p) && len(p.threads) > 0 }); p != nil {
			leader := !p.headless && rapid.Bool().Draw(t, "leader")
			if leader || len(p.threads) > 1 || !p.headless {
				m.exitThread(p, leader)
			}
		}
	case "exec":
		if p := m.some(t, func(p *process) bool { return runsUser(p) && !p.headless }); p != nil {
			m.exec(p, rapid.SampledFrom([]string{"make", "cc"}).Draw(t, "program"))
		}
	case "user":
		if p := m.some(t, runsUser); p != nil {
			m.setUser(p)
		}
	}
}

// forkOne forks. Pids are mostly used in turn, and now and then again at once.
func (m *model) forkOne(t *rapid.T, parent *process) {
	at, pid := int64(1<<62), int32(0)
	quick := rapid.IntRange(0, 9).Draw(t, "last freed pid") == 0
	for c := int32(3); c < 40; c++ {
		freed := m.freed[c]
		if quick {
			freed = -freed
		}
		if m.pids[c] == nil && freed < at {
			at, pid = freed, c
		}
	}
	if pid == 0 {
		return
	}
	p := m.fork(parent, pid, rapid.SampledFrom([]time.Duration{0, 100 * time.Microsecond, 20 * time.Millisecond}).Draw(t, "event late"))
	p.book.risky = parent.book.risky || m.full[0]
	p.book.ever = p.book.risky
	for _, o := range m.all[:p.id] {
		if o.pid == pid && o.boot == m.boot {
			p.others, o.others = append(p.others, o), append(o.others, p)
		}
	}
}

// end ends a process, and mostly tells of it at once. Where the leader ended before,
// /proc does not show that the last thread is on its way out.
func (m *model) end(t *rapid.T, p *process) {
	status := rapid.SampledFrom([]uint32{0, 9, 0x100}).Draw(t, "status")
	ticks := time.Duration(rapid.IntRange(-5, 5).Draw(t, "ticks")) * time.Millisecond
	m.die(p, status, ticks, rapid.IntRange(0, 19).Draw(t, "torn") == 0)
	if rapid.IntRange(0, 3).Draw(t, "preempted") != 0 || p.headless {
		m.finish(p)
	}
}
