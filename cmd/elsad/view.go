// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"slices"
	"time"

	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/usage"
)

// settleTimeout bounds how long a reader waits for the best record of every
// death, and settlePoll is how often it looks.
const (
	settleTimeout = 2 * time.Second
	settlePoll    = 10 * time.Millisecond
)

// snapshot samples the living and computes every bill as of now.
func (c *core) snapshot(ctx context.Context, l *live) (s *usage.Snapshot, err error) {
	err = l.refresh(ctx, func() { s = c.view() })
	return s, err
}

// settle returns once every process that died before the call is on its bill
// with the best record it will get, or after settleTimeout.
func (c *core) settle(ctx context.Context, names []string) error {
	called := proc.Boottime()
	deadline := time.NewTimer(settleTimeout)
	defer deadline.Stop()
	poll := time.NewTicker(settlePoll)
	defer poll.Stop()
	for first := true; ; first = false {
		var err error
		waiting := 0
		if e := c.do(ctx, func() {
			if err = c.step(); err == nil {
				if first {
					called = proc.Boottime()
				}
				waiting = c.unsettled(called, names)
				if c.ledger == nil {
					waiting += c.tracker.Awaiting()
				}
			}
		}); e != nil {
			return e
		}
		if err != nil || waiting == 0 {
			return err
		}
		select {
		case <-poll.C:
		case <-deadline.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unsettled counts the deaths in the named groups, or in all sets, that were
// charged before a time and wait for their exact record.
func (c *core) unsettled(before int64, names []string) int {
	var ids []uint32
	for _, name := range names {
		if g := c.group(name); g != nil {
			ids = append(ids, g.ID)
		}
	}
	n := 0
	c.join.Unsettled(before, func(_ groups.Key, set groups.SetID) bool {
		if len(names) == 0 || slices.ContainsFunc(ids, func(id uint32) bool { return c.tracker.Sets.Has(set, id) }) {
			n++
		}
		return true
	})
	return n
}

// view computes a snapshot. It runs in the core's goroutine.
func (c *core) view() *usage.Snapshot {
	c.tracker.TakeStarts(c.join.Start)
	s := c.join.Snapshot(c.tracker, slices.Clone(c.groups))
	s.Time = time.Now()
	s.Service = c.service
	v, n := &s.Service, &c.counters
	v.Created = c.meta.Created
	v.Suspended = n.suspended
	v.Forks, v.Execs, v.Exits, v.OtherEvents = n.forks, n.execs, n.exits, n.other
	v.EventsLost, v.EventsRejected, v.Resyncs = n.lost, n.rejected, n.resyncs
	v.RecordsBSD, v.RecordsTaskstats, v.RecordsExact = n.bsd, n.taskstats, n.exact
	v.TaskstatsLost, v.ExactLost = n.taskstatsLost, n.exactLost
	v.LedgerSkipped, v.MissingLedger = c.skipped.Bytes, n.missing
	v.LedgerLost, v.LedgerGaps = c.skipped.Lost, c.skipped.Gaps
	j := &c.join.Joined
	v.Joined = map[string]uint64{
		"exact": j.Exact, "taskstats": j.Taskstats, "ledger": j.Ledger, "no_line": j.NoLine,
		"unknown": j.Unknown, "duplicate": j.Duplicate, "unmatched": j.Unmatched, "late": j.Late,
		"part": n.parts, // records of single threads, left out
	}
	if c.ledger != nil {
		if end, err := c.ledger.End(); err == nil {
			v.BacklogBytes = c.ledger.Backlog(c.position, end)
		}
	}
	v.Processes, v.Members = c.tracker.Processes(), c.members()
	v.StoreBytes = c.store.Size()
	v.ConservationRatio = c.join.Conservation()
	return s
}
