// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"elsa/internal/fill"
	"elsa/internal/history"
	"elsa/internal/lineage"
	"elsa/internal/store"
	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/cnfork"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// counted is a transaction that keeps nothing and counts what is put.
type counted struct{ groups, sets, members, rest, cleared, fills int }

func (c *counted) Clear()                                      { c.cleared++ }
func (c *counted) Meta(store.Meta)                             { c.rest++ }
func (c *counted) PutGroup(groups.Group)                       { c.groups++ }
func (c *counted) DeleteGroup(uint32)                          { c.rest++ }
func (c *counted) PutSet(groups.SetID, []uint32, *usage.Usage) { c.sets++ }
func (c *counted) PutMember(groups.Life, usage.Account)        { c.members++ }
func (c *counted) DeleteMember(groups.Key)                     { c.rest++ }
func (c *counted) PutDeath(usage.OpenDeath)                    { c.rest++ }
func (c *counted) Held([]acct.Record)                          { c.rest++ }
func (c *counted) PutOrigin(lineage.Origin)                    {}
func (c *counted) DeleteOrigin(lineage.Origin)                 {}
func (c *counted) PutAncestors([]lineage.Ancestor)             { c.rest++ }
func (c *counted) PutFilled(*usage.Filled)                     { c.fills++ }
func (c *counted) DeleteFilled(*usage.Filled)                  { c.rest++ }
func (c *counted) PutTaken(*fill.Taken)                        { c.fills++ }
func (c *counted) DeleteTaken(group, n uint32)                 { c.rest++ }
func (c *counted) AddCell(*history.Key, *usage.Usage)          { c.rest++ }
func (c *counted) DropHistory(uint32, int)                     {}
func (c *counted) AddUp(uint32, uint32, int)                   {}
func (c *counted) FindHour(uint32)                             {}
func (c *counted) Applied() bool                               { return false }
func (c *counted) Dropped() int                                { return 0 }
func (c *counted) AddedUp() int                                { return 0 }
func (c *counted) Hour() (hour uint32, ok bool)                { return 0, false }

var _ Tx = (*counted)(nil)

// While transactions fail, all is put again each time: each group, set and member
// once, however often it failed before, and nothing is left out.
func TestRetry(t *testing.T) {
	const n = 3000
	now := at(time.Hour)
	e := newEngine(t, newMachine(), now)
	for i := range n {
		g, err := e.MakeGroup(fmt.Sprintf("g%06d", i*7919%n), 0, nil, now)
		if err != nil {
			t.Fatal(err)
		}
		pid := int32(i + 10)
		e.Events([]cnfork.Event{{Kind: cnfork.Fork, PID: pid, TGID: pid, ParentPID: 1, ParentTGID: 1, Time: clock.Mono(now.Boot)}}, 0, 0, now)
		life, _ := e.tracker.Live(pid)
		e.Add(life, g, false, false, 0, now)
	}
	for try := range 5 {
		if !e.Changed() {
			t.Fatal("nothing is left to put after a failure")
		}
		if err := e.Prepare(now); err != nil {
			t.Fatal(err)
		}
		var tx counted
		e.Save(&tx, &store.Meta{})
		e.Saved(errors.New("disk full"))
		if tx.groups != n || tx.members != n || tx.sets < n || tx.sets > n+3 || tx.rest > 3 || (tx.cleared == 1) != (try > 0) {
			t.Errorf("try %d put %+v, want %d groups, sets and members", try+1, tx, n)
		}
	}
}
