// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"elsa/internal/fault"
	"elsa/internal/store"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// restore takes over what the store holds, finds out which members still live,
// adopts what they forked meanwhile, and replays the backlog of the ledger. The
// events must be subscribed to before, so that nothing falls in between.
func (c *core) restore(st *store.State) error {
	boot, err := c.proc.BootID()
	if err != nil {
		return fmt.Errorf("read boot id: %w", err)
	}
	c.setClocks()
	c.load(st)
	fault.Point(fault.RestoreLoaded)
	rebooted := st.Meta.BootID != "" && st.Meta.BootID != boot
	if err := c.loadLineage(!rebooted, boot); err != nil {
		return err
	}
	for i := range st.Held {
		if !rebooted {
			c.join.Precise(&st.Held[i], proc.Boottime())
		}
	}
	if rebooted {
		err = c.buryAll(st)
	} else if c.resumed {
		err = c.resumeStream(st)
	} else {
		err = c.resume(st)
	}
	if err != nil {
		return err
	}
	fault.Point(fault.RestoreJoined)
	c.meta.BootID, c.meta.CleanStop = boot, false
	c.meta.Stored, c.meta.StoredTaskstats, c.meta.StoredExact = nil, nil, nil
	if err := c.commit(); err != nil {
		return err
	}
	fault.Point(fault.RestoreCommit)
	c.replay.end()
	c.replay = nil
	return nil
}

// load puts groups, sets and bills back.
func (c *core) load(st *store.State) {
	c.meta = st.Meta
	c.position = st.Meta.Position
	for i := range st.Groups {
		at, _ := c.place(st.Groups[i].Name)
		c.groups = append(c.groups, groups.Group{})
		copy(c.groups[at+1:], c.groups[at:])
		c.groups[at] = st.Groups[i]
	}
	for i := range st.Sets {
		s := &st.Sets[i]
		c.tracker.Sets.Restore(s.ID, s.Groups)
		c.join.RestoreSet(s.ID, s.Usage)
	}
	c.tracker.Sets.Reuse()
	now := int64(0)
	if c.exactResumed {
		now = proc.Boottime() // their exact records come yet
	}
	for i := range st.Deaths {
		c.join.RestoreDeath(st.Deaths[i], now)
	}
	c.join.Reported = st.Meta.Reported
}

// resume goes on within the same boot.
func (c *core) resume(st *store.State) error {
	for i := range st.Members {
		m := &st.Members[i]
		p, err := c.proc.Process(m.Life.PID)
		alive := err == nil && proc.SameStart(p.Start, m.Life.Start) && !p.Dead()
		c.tracker.Restore(m.Life, p.Threads, alive)
		c.restoreAccount(m)
	}
	c.trusted, c.gaps = st.Meta.AsOf, 2
	c.resuming = st.Meta.BootID != ""
	err := c.scan(st.Meta.AsOf)
	c.resuming = false
	if err != nil {
		return err
	}
	fault.Point(fault.RestoreScanned)
	c.backlog()
	return c.step()
}

// buryAll goes on after a reboot: every member is dead. Those whose line was
// written before are billed by it; the machine's end left no line of the others,
// and they are billed by their last sample.
func (c *core) buryAll(st *store.State) error {
	c.log.Info("machine was rebooted: members of the last boot have ended", "members", len(st.Members))
	for i := range st.Members {
		c.tracker.Restore(st.Members[i].Life, 0, false)
		c.restoreAccount(&st.Members[i])
	}
	c.trusted, c.gaps = st.Meta.AsOf, 2
	c.offsets = append([]int64{st.Meta.WallOffset}, c.offsets...)
	c.backlog()
	if err := c.step(); err != nil {
		return err
	}
	c.tracker.Bury(func(l groups.Life) {
		c.counters.missing++
		c.join.Unledgered(l, proc.Boottime())
	})
	c.offsets = c.offsets[1:]
	return c.scan(0)
}

func (c *core) restoreAccount(m *store.Member) {
	if m.Account.Base.CPU() != 0 || m.Account.Last.CPU() != 0 {
		c.join.RestoreAccount(m.Life.Key(), m.Life.Set, m.Account)
	}
}

// backlog tells of what the next step will read: twice, if lines may name
// processes that nobody saw.
func (c *core) backlog() {
	if c.ledger == nil {
		return
	}
	end, err := c.ledger.End()
	if err != nil {
		return // step will say it
	}
	n, times := c.ledger.Backlog(c.position, end), int64(1)
	if c.gaps > 0 {
		times = 2
	}
	if n <= 0 {
		return
	}
	c.replay.begin(n, times)
	if c.trusted > 0 {
		c.log.Info("replaying accounting backlog", "bytes", n, "since", time.Duration(proc.Boottime()-c.trusted).Round(time.Second))
	}
}
