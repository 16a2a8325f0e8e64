// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"time"

	"elsa/internal/history"
	"elsa/internal/tally"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// Snapshot computes every bill as of now, after a rescan if one is due. service is
// what the caller knows of the sources and the store; the engine adds its counters.
func (e *Engine) Snapshot(service usage.Service, now Now) (*usage.Snapshot, error) {
	if err := e.RescanIfLost(now); err != nil {
		return nil, err
	}
	e.tracker.TakeStarts(e.join.Start)
	s := e.join.Snapshot(e.tracker, e.catalog.Copy())
	s.AddFilled(e.fills.Each)
	s.Time, s.Boot = now.Wall, now.Boot
	s.Service = service
	v := &s.Service
	v.Created = e.database.created
	v.Counts.Add(&e.counts)
	refused := e.options.Refused.Counts()
	v.Counts.Add(&refused)
	j := &e.join.Joined
	v.Counts.Add(&tally.Counts{
		tally.EventsIgnored: e.tracker.Ignored, tally.Adopted: e.tracker.Adopted, tally.Evicted: e.tracker.Evicted,
		tally.JoinedExact: j.Exact, tally.JoinedTaskstats: j.Taskstats, tally.JoinedLedger: j.Ledger, tally.JoinedNoLine: j.NoLine,
		tally.JoinedUnknown: j.Unknown, tally.JoinedDuplicate: j.Duplicate, tally.JoinedUnmatched: j.Unmatched, tally.JoinedLate: j.Late,
		tally.HistoryGroups: e.history.rolls.Oversized,
	})
	v.RulesMissed = e.unseen.misses.list()
	v.Counts[tally.SumsFull] = s.Total.Full()
	v.Processes, v.Members = e.tracker.Processes(), e.members()
	v.ConservationRatio = e.join.Conservation(v.Unaccounted)
	return s, nil
}

// EachMember calls f for every live process of a group, after a rescan if one is
// due. f must not change the engine.
func (e *Engine) EachMember(g uint32, now Now, f func(groups.Life)) error {
	return e.EachLive(now, func(l groups.Life) {
		if e.tracker.Sets.Has(l.Set, g) {
			f(l)
		}
	})
}

// EndedCPU is what all processes that have ended are billed.
func (e *Engine) EndedCPU() time.Duration { return e.join.EndedCPU() }

// EachLive calls f for every live process, after a rescan if one is due. f must not
// change the engine.
func (e *Engine) EachLive(now Now, f func(groups.Life)) error {
	if err := e.RescanIfLost(now); err != nil {
		return err
	}
	e.tracker.EachLive(f)
	return nil
}

// EachUngrouped calls f for every live process that is known to be in no group, after a
// rescan if one is due. f must not change the engine.
func (e *Engine) EachUngrouped(now Now, f func(groups.Life)) error {
	return e.EachLive(now, func(l groups.Life) {
		if l.Set == groups.Ungrouped {
			f(l)
		}
	})
}

// Unsettled counts the deaths in the named groups, or in all sets, that were
// charged before a time and wait for their exact record; without a ledger also
// those that wait to be charged.
func (e *Engine) Unsettled(before clock.Boot, names []string) int {
	var ids []uint32
	for _, name := range names {
		if g := e.catalog.Named(name); g != nil {
			ids = append(ids, g.ID)
		}
	}
	n := 0
	e.join.Unsettled(before, func(_ groups.Key, set groups.SetID) bool {
		if len(names) == 0 || slices.ContainsFunc(ids, func(id uint32) bool { return e.tracker.Sets.Has(set, id) }) {
			n++
		}
		return true
	})
	if !e.options.Ledger {
		n += e.tracker.Awaiting()
	}
	return n
}

// Living is what live processes used until they were sampled last that is in no cell of
// the database: by the cell it will be in if nothing else happens.
func (e *Engine) Living() (list []history.Cell) {
	e.join.Living(func(c *usage.Cell, m *usage.Measure) {
		cell := history.Cell{Key: e.history.rolls.KeyOf(*c)}
		cell.Usage.AddMeasure(m)
		list = append(list, cell)
	})
	return list
}

// HistoryFrom is the first hour that the history may have, and daily the first
// hour of which it has hours, not days alone.
func (e *Engine) HistoryFrom(now Now) (first time.Time, daily uint32) {
	first = time.Unix(int64(e.history.first(e.calendar.old(now)))*3600, 0)
	if e.database.created.After(first) {
		first = e.database.created
	}
	return first, e.history.daily
}

// Behind is how far the date, by which history and finished runs are deleted, is
// behind the wall clock, which was set ahead, or after the machine was off.
func (e *Engine) Behind(now Now) time.Duration { return now.Wall.Sub(e.calendar.advance(now)) }
