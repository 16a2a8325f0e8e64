// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"time"

	"elsa/internal/fault"
	"elsa/internal/store"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// commit makes everything durable in one transaction and lets go of the ledger
// before it. A failure loses nothing: all of it is written again next time.
func (c *core) commit() error {
	if err := c.know(); err != nil {
		return err
	}
	if !c.unsaved && !c.tracker.Changed() && !c.join.Changed() && len(c.regroup) == 0 &&
		c.position == c.meta.Position && !c.meta.CleanStop {
		return nil // an idle machine writes nothing
	}
	began := time.Now()
	fault.Point(fault.CommitBegin)
	c.tracker.TakeStarts(c.join.Start)
	if c.unsaved {
		c.tracker.TouchAll()
		c.join.TouchAll()
		c.regroup = c.regroup[:0]
		for i := range c.groups {
			c.regroup = append(c.regroup, c.groups[i].ID)
		}
	}
	c.meta.AsOf, c.meta.Position, c.meta.Reported = c.asOf, c.position, c.join.Reported
	c.meta.WallOffset = c.join.WallOffset
	err := c.store.Commit(c.write)
	c.unsaved = err != nil
	if err != nil {
		c.tell(&c.failing, "commit (nothing is lost, trying again)", err)
		if c.ledger != nil { // it must not grow without bound meanwhile
			c.tell(&c.segments, "accounting segments", c.ledger.Rotate())
		}
		return err
	}
	c.tell(&c.failing, "commit", nil)
	c.regroup = c.regroup[:0]
	c.past.done()
	c.lineage.Done()
	fault.Point(fault.CommitDone)
	if c.ledger != nil {
		err := c.ledger.Release(c.position)
		fault.Point(fault.CommitReleased)
		err = errors.Join(err, c.ledger.Rotate())
		c.tell(&c.segments, "accounting segments", err)
	}
	fault.Point(fault.CommitRotated)
	if c.observe != nil {
		c.observe(time.Since(began))
	}
	return nil
}

// tell logs an error that may come every second once, and once that it is over.
// told is what was said last.
func (c *core) tell(told *string, what string, err error) {
	switch {
	case err == nil && *told != "":
		*told = ""
		c.log.Info(what + " works again")
	case err != nil && err.Error() != *told:
		*told = err.Error()
		c.log.Error("cannot do "+what, "err", err)
	}
}

func (c *core) write(tx *store.Tx) {
	if c.unsaved {
		tx.Clear()
	}
	for _, id := range c.regroup {
		if i := c.placeID(id); i >= 0 {
			tx.PutGroup(c.groups[i])
		} else {
			tx.DeleteGroup(id)
		}
	}
	for _, id := range c.tracker.Sets.TakeFresh() {
		c.join.Touch(id)
	}
	c.join.TakeChanged(func(id groups.SetID, u *usage.Usage) {
		tx.PutSet(id, c.tracker.Sets.Groups(id), u)
	})
	c.tracker.TakeChanged(func(l groups.Life) {
		a, _ := c.join.Account(l.Key())
		tx.PutMember(l, a)
	}, tx.DeleteMember)
	c.writeUngrouped(tx)
	c.join.OpenDeaths(tx.PutDeath)
	tx.Held(c.heldOver())
	c.past.write(tx, &c.meta, time.Now())
	c.writeLineage(tx)
	tx.Meta(c.meta)
}

func (c *core) placeID(id uint32) int {
	for i := range c.groups {
		if c.groups[i].ID == id {
			return i
		}
	}
	return -1
}
