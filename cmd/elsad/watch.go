// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"time"

	"elsa/pkg/cnfork"
	"elsa/pkg/ledger"
	"elsa/pkg/proc"
	"elsa/pkg/stream"
)

// watch is what the core knows of the health of its sources.
type watch struct {
	next    int64  // when to look again
	forks   uint64 // of /proc/stat, when looked at last
	events  uint64 // fork events then
	silent  int    // looks in a row without events while forks were made
	missing uint64 // deaths without a line, at the last step
	lines   uint64 // lines read, at the last step
	retry   int64  // when to try to get accounting back

	tellLoss int64 // when to speak of lost events again
}

const (
	watchInterval   = int64(5 * time.Second)
	reclaimInterval = int64(30 * time.Second)
	tellInterval    = int64(10 * time.Second)
)

// watchLedger finds out, from deaths that get no line, that the kernel holds
// back lines or that accounting was switched off, and that it goes on.
func (c *core) watchLedger() {
	if c.ledger == nil {
		return
	}
	w := &c.watch
	missing, lines := c.counters.missing-w.missing, c.counters.bsd-w.lines
	w.missing, w.lines = c.counters.missing, c.counters.bsd
	switch {
	case missing > 0 && lines == 0 && !c.counters.suspended:
		c.counters.suspended = true
		c.log.Warn("accounting is suspended: deaths get no line; going on with taskstats and exact records", "cause", c.whySuspended())
	case lines > 0 && c.counters.suspended:
		c.counters.suspended = false
		c.log.Info("accounting goes on", "deaths_without_line", c.counters.missing)
	}
	now := proc.Boottime()
	if owned, ok := c.ledger.(*ledger.Owned); ok && c.counters.suspended && now > w.retry {
		w.retry = now + reclaimInterval
		if err := owned.Reclaim(); err != nil {
			c.log.Debug("accounting cannot be switched on again", "err", err)
		}
	}
}

func (c *core) whySuspended() string {
	space, err := ledger.SpaceState(c.ledger.Path())
	if err == nil && space.Available < space.Resume {
		return "the file system of " + c.ledger.Path() + " is nearly full; free some space, or see kernel.acct in proc(5)"
	}
	return "it was switched off, or to another file"
}

// watchEvents finds out that the stream has fallen silent while processes are
// forked, which some kernels do after an overrun, and opens a new one.
func (c *core) watchEvents() error {
	w := &c.watch
	now := proc.Boottime()
	if now < w.next {
		return nil
	}
	w.next = now + watchInterval
	forks, err := c.proc.Forks()
	if err != nil {
		return err
	}
	if forks == w.forks || c.counters.forks != w.events {
		w.silent = 0
	} else if w.silent++; w.silent >= 2 && w.forks != 0 {
		c.log.Warn("events have stopped while processes are forked: subscribing anew")
		if err := c.reopenEvents(); err != nil {
			return err
		}
		w.silent = 0
	}
	w.forks, w.events = forks, c.counters.forks
	return nil
}

// reopenEvents replaces the stream of events. What happened in between is
// found in /proc.
func (c *core) reopenEvents() error {
	if c.reopen == nil {
		return errors.New("events have stopped, and cannot be subscribed to anew")
	}
	events, err := c.reopen()
	if err != nil {
		return err
	}
	c.events = events
	c.lose()
	c.counters.silences++
	return nil
}

// reopener makes the function that replaces the stream of events.
type reopener func() (stream.Source[cnfork.Event], error)
