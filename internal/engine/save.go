// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"

	"elsa/internal/store"
	"elsa/pkg/acct"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// Changed reports whether Save has anything to put.
func (e *Engine) Changed() bool {
	return e.unsaved || e.clocks.unsaved || e.tracker.Changed() || e.join.Changed() || e.catalog.Changed() || e.lineage.Changed() || e.fills.Changed() || e.history.rolls.Changed()
}

// Prepare readies the engine for Save, after a rescan if one is due: what is in
// doubt is not stored.
func (e *Engine) Prepare(now Now) error {
	if err := e.RescanIfLost(now); err != nil {
		return err
	}
	e.tracker.TakeStarts(e.join.Start)
	if e.unsaved {
		e.tracker.TouchAll()
		e.join.TouchAll()
		e.catalog.TouchAll()
		e.fills.TouchAll()
	}
	return nil
}

// Save puts what changed since the last transaction that succeeded, and meta with
// what the engine knows of it. Call Prepare before and Saved after the transaction.
// In between the engine may change, and be asked: that is of the next transaction.
func (e *Engine) Save(tx Tx, meta *store.Meta) {
	if e.unsaved {
		tx.Clear()
	}
	e.clocks.unsaved = false
	e.catalog.Flush(tx.PutGroup, tx.DeleteGroup)
	e.fills.Flush(tx)
	for _, id := range e.tracker.Sets.TakeFresh() {
		e.join.Touch(id)
	}
	e.join.TakeChanged(func(id groups.SetID, u *usage.Usage) {
		tx.PutSet(id, e.tracker.Sets.Groups(id), u)
	})
	e.tracker.TakeChanged(func(l groups.Life) {
		a, _ := e.join.Account(l.Key())
		tx.PutMember(l, a)
	}, tx.DeleteMember)
	e.join.OpenDeaths(tx.PutDeath)
	e.saveHandover(tx, meta)
	e.history.save(tx, e.calendar.old(e.now))
	e.lineage.Flush(tx.PutOrigin, tx.DeleteOrigin)
	meta.Created, meta.BootID, meta.NextGroup = e.database.created, e.database.boot, e.catalog.Next()
	meta.AsOf, meta.Booted, meta.Asleep = e.loss.asOf, e.join.Booted, e.clocks.asleep
	meta.Settings = slices.Clone(e.clocks.settings)
	meta.Date, meta.DateAt = e.calendar.date.UTC(), e.calendar.at
	settled := e.join.Settled
	meta.Settled = &settled
	meta.Reported, meta.Daily = e.join.Reported, e.history.daily
	if e.rows != nil {
		meta.NextRow = e.rows.next
	}
	tx.Meta(*meta)
}

// TakeRows hands out what the bills of the transaction are made of: call it with Save.
// They are written before the transaction, and are valid until it has ended. What the
// journal cannot take is lost; nil is nothing.
func (e *Engine) TakeRows() *Rows {
	if e.rows == nil {
		return nil
	}
	return e.rows.take(e.join.Unfixed(e.rows.next) - 1)
}

// saveHandover puts what only the next start needs: at the end of this one, or, of
// records that come by a ring, always, since it may go on with that after a crash.
func (e *Engine) saveHandover(tx Tx, meta *store.Meta) {
	var held []acct.Record
	if meta.CleanStop && meta.HandedOver() || meta.Ring != nil { // their lines will be joined by the next start
		e.join.EachHeld(func(r *acct.Record) { held = append(held, *r) })
	}
	if meta.CleanStop {
		tx.PutAncestors(e.lineage.Ancestors())
		if meta.Stored != nil {
			// Events go on: what the next start does not find here has its fork among
			// them. It also reads the lines of those that died since the last step.
			put := func(l groups.Life) {
				if l.Set == groups.Ungrouped && !l.HasAccount {
					tx.PutMember(l, usage.Account{})
				}
			}
			e.tracker.EachLive(put)
			e.tracker.EachAwaiting(put)
		}
	}
	tx.Held(held)
}

// Saved says how the transaction ended. After a failure all is put again next time.
func (e *Engine) Saved(err error) {
	e.unsaved = err != nil
	e.history.saved()
	if err != nil {
		e.lineage.Failed()
		return
	}
	e.lineage.Done()
	e.reclaim()
}
