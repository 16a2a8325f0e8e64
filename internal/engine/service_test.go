// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"elsa/internal/store"
	"elsa/pkg/acct"
	"elsa/pkg/ledger"
	"elsa/pkg/stream"
	"elsa/pkg/usage"
)

// service is an engine and what the pipeline keeps beside it: a socket, a database,
// and the position in the ledger. It does what the pipeline does, in its order.
type service struct {
	*Engine
	*socket
	disk     *disk
	meta     store.Meta
	position int
	// main: what this one is told is noted in the books of the processes.
	main bool
	// told tells the engine how the last commit ended, when it is not known to it yet.
	told func()
}

// launch makes a service that goes on from a database.
func (m *model) launch(d *disk, s *socket, resumed, exactResumed bool) *service {
	e, err := New(Options{
		World: m.view, Resumed: resumed, ExpectExact: m.exact, ExactResumed: exactResumed,
		Ledger: true, LedgerSince: m.now().Boot, Rows: true, Commands: 1 << 20, Retention: 20 * 365 * 24 * time.Hour, Hours: 48 * time.Hour,
		KnownCommands: func(hour uint32) (known []string) {
			for _, c := range d.hours(hour, hour+1) {
				known = append(known, c.Command)
			}
			return known
		},
	}, m.now())
	if err != nil {
		panic(err)
	}
	return &service{Engine: e, socket: s, disk: d, main: true}
}

// services are the one that serves and, after a planned restart, the one that was
// not stopped, which goes on beside it and must come to the same bills.
func (m *model) services() []*service {
	if m.twin == nil {
		return []*service{m.service}
	}
	return []*service{m.service, m.twin}
}

// step is Pipeline.step. The machine does not wait for it.
func (m *model) step(t *rapid.T) {
	m.note("service: step")
	for _, s := range m.services() {
		m.setClocks(s.Engine)
	}
	end := len(m.lines)
	meanwhile := rapid.IntRange(0, 9).Draw(t, "meanwhile")
	m.race(t, meanwhile == 1)
	asOf := m.now().Boot
	m.race(t, meanwhile == 2)
	m.drain(t)
	m.race(t, meanwhile == 3)
	for _, s := range m.services() {
		s.Applied(asOf)
	}
	m.rescanIfLost(t)
	m.race(t, meanwhile == 4)
	for _, s := range m.services() {
		s.Classify(false, m.now())
		m.join(s, end)
		s.EndStep(m.now())
	}
}

// drain is Pipeline.drain. What comes of which source first is anybody's guess.
func (m *model) drain(t *rapid.T) {
	order := [3]func(*service){m.takeEvents, m.takeTaskstats, m.takeExact}
	if rapid.Bool().Draw(t, "records first") {
		slices.Reverse(order[:])
	}
	for _, s := range m.services() {
		for _, take := range order {
			take(s)
		}
	}
}

func (m *model) takeEvents(s *service) {
	m.setClocks(s.Engine)
	for _, b := range s.events {
		m.note("service: takes %d events after %d lost", len(b.items), b.lost)
		s.Events(b.items, b.lost, 0, m.now())
		if b.lost > 0 && s.main {
			m.endanger()
		}
	}
	s.events = nil
}

func (m *model) takeTaskstats(s *service) {
	for _, b := range s.taskstats {
		m.note("service: takes %d taskstats after %d lost", len(b.items), b.lost)
		s.Taskstats(b.items, b.lost, 0, m.now())
		for i := range b.items {
			if b.items[i].Whole && s.main {
				m.of(&b.items[i]).book.taskstats = true
			}
		}
	}
	s.taskstats = nil
}

func (m *model) takeExact(s *service) {
	for _, b := range s.exact {
		m.note("service: takes %d exact records after %d lost", len(b.items), b.lost)
		s.Exact(b.items, b.lost, 0, m.now())
		for i := range b.items {
			if s.main {
				m.of(&b.items[i]).book.exact = m.mono
			}
		}
	}
	s.exact = nil
}

// of finds whose a record is.
func (m *model) of(r *acct.Record) *process { return m.all[r.UID/2] }

func (m *model) rescanIfLost(t *rapid.T) {
	for _, s := range m.services() {
		if s.main && s.loss.pending {
			m.endanger() // those whose fork was read since the loss, too
		}
		m.must(t, s.RescanIfLost(m.now()))
	}
}

// join is Pipeline.joinLines.
func (m *model) join(s *service, end int) {
	if s.position == end {
		return
	}
	var records []acct.Record
	for _, l := range m.lines[s.position:end] {
		if l.torn {
			continue
		}
		records = append(records, l.Record)
		m.note("service: reads the line of %v", l.of)
		if s.main {
			l.of.book.charged = m.mono
		}
	}
	placing := s.Place()
	if placing != nil {
		backward := slices.Clone(records)
		slices.Reverse(backward)
		placing.Backward(backward)
	}
	s.Lines(records, placing, m.now())
	s.position = end
}

// commit is Pipeline.commit. The engine may be told how it ended only when the next
// one is due, and change until then.
func (m *model) commit(t *rapid.T, torn bool) error {
	m.learn()
	late := rapid.Bool().Draw(t, "told late")
	m.note("service: commit, failing: %v, told late: %v", torn, late)
	var failed error
	for _, s := range m.services() {
		m.must(t, s.Prepare(m.now()))
		if !s.Changed() && int64(s.position) == s.meta.Position.Offset && !s.meta.CleanStop {
			continue
		}
		meta := s.meta
		meta.Position = ledger.Position{Offset: int64(s.position)}
		err := s.disk.commit(torn, func(tx Tx) {
			s.Save(tx, &meta)
			tx.(*disk).paper = tx.(*disk).paper.write(s.TakeRows())
		})
		s.told = func() {
			if s.Saved(err); err == nil {
				s.meta = meta
			}
		}
		if s.main {
			failed = err
		}
	}
	if !late {
		m.learn()
	}
	if failed == nil {
		m.wish = false
		m.jumped = m.jumped && m.service.position < len(m.lines)
		for _, p := range m.all {
			p.stored = p.book.clone()
		}
	}
	return failed
}

// learn is Pipeline.settle: the engine learns how the last commit ended.
func (m *model) learn() {
	for _, s := range m.services() {
		if s.told != nil {
			s.told()
			s.told = nil
		}
	}
}

// restore is Pipeline.Restore.
func (m *model) restore(t *rapid.T, resumed bool) {
	s := m.service
	m.setClocks(s.Engine)
	st := s.disk.load()
	m.note("service: starts, resumed: %v", resumed)
	s.meta, s.position = st.Meta, int(st.Meta.Position.Offset)
	switch rebooted := s.Load(st, m.bootID(), m.now()); {
	case rebooted:
		s.BeginAfterReboot(st, m.now())
		m.step(t)
		m.must(t, s.EndOfBoot(m.now()))
	case resumed:
		since := m.now()
		s.GoOnWithStream(st, since)
		m.drain(t)
		m.must(t, s.GoneOn(since, m.now()))
		m.step(t)
	default:
		m.must(t, s.GoOn(st, m.now()))
		m.race(t, rapid.IntRange(0, 3).Draw(t, "meanwhile") == 0)
		m.step(t)
	}
	s.meta.CleanStop = false
	s.meta.Stored, s.meta.StoredTaskstats, s.meta.Ring = nil, nil, nil
}

// stop is Pipeline.finish with Pipeline.handOver: it reports whether the sources
// wait for the next start.
func (m *model) stop(t *rapid.T, offered, torn bool) (handedOver bool) {
	m.learn()
	m.step(t)
	if offered {
		m.drain(t)
		zero32 := uint32(0)
		s := m.service
		s.meta.StoredTaskstats, s.meta.Ring = &zero32, &store.Ring{Releases: &stream.Cursor{}}
		if s.Doubtless() {
			s.meta.Stored = &zero32
		}
	}
	for _, s := range m.services() {
		m.must(t, s.SampleMembers(m.now()))
	}
	m.service.meta.CleanStop = true
	err := m.commit(t, torn)
	if m.learn(); err != nil || !offered {
		return false
	}
	if m.twin == nil && m.service.meta.Stored != nil && m.asleep == 0 && !m.jumps {
		m.twin = m.goOnAs(m.service)
	}
	return true
}

// goOnAs is a service that was not stopped, with a socket and a database of its own.
func (m *model) goOnAs(s *service) *service {
	twin := *s
	twin.main, twin.disk, twin.socket = false, s.disk.clone(), &socket{}
	twin.meta.CleanStop = false
	m.sockets = append(m.sockets, twin.socket)
	return &twin
}

// snapshot is what a reader is shown.
func (m *model) snapshot(t *rapid.T, s *service) *usage.Snapshot {
	snap, err := s.Snapshot(usage.Service{}, m.now())
	m.must(t, err)
	return snap
}

func (m *model) must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
