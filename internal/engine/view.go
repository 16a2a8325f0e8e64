// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"time"

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
	s.Time = now.Wall
	s.Service = service
	v, n := &s.Service, &e.counters
	v.Created = e.created
	v.Forks, v.Execs, v.Exits, v.OtherEvents = n.Forks, n.Execs, n.Exits, n.OtherEvents
	v.EventsLost, v.EventsRejected, v.Resyncs = n.EventsLost, n.Rejected, n.Rescans
	v.RecordsBSD, v.RecordsTaskstats, v.RecordsExact = n.Lines, n.Taskstats, n.Exact
	v.TaskstatsLost, v.ExactLost, v.MissingLedger = n.TaskstatsLost, n.ExactLost, n.Missing
	j := &e.join.Joined
	v.Joined = map[string]uint64{
		"exact": j.Exact, "taskstats": j.Taskstats, "ledger": j.Ledger, "no_line": j.NoLine,
		"unknown": j.Unknown, "duplicate": j.Duplicate, "unmatched": j.Unmatched, "late": j.Late,
		"part": n.Parts, // records of single threads, left out
	}
	v.Refused = e.options.Refused.Map()
	v.Processes, v.Members = e.tracker.Processes(), e.members()
	v.ConservationRatio = e.join.Conservation()
	return s, nil
}

// Unsettled counts the deaths in the named groups, or in all sets, that were
// charged before a time and wait for their exact record; without a ledger also
// those that wait to be charged.
func (e *Engine) Unsettled(before int64, names []string) int {
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

// HistoryFrom is the first hour that the history may have, and daily the first
// hour of which it has hours, not days alone.
func (e *Engine) HistoryFrom(now Now) (first time.Time, daily uint32) {
	first = time.Unix(int64(e.history.first(now.Wall))*3600, 0)
	if e.created.After(first) {
		first = e.created
	}
	return first, e.history.daily
}
