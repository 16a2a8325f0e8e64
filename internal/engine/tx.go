// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"elsa/internal/fill"
	"elsa/internal/history"
	"elsa/internal/lineage"
	"elsa/internal/store"
	"elsa/pkg/acct"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// Tx is a transaction of the database; see [store.Tx], whose methods these are.
// What is put is safe when the transaction succeeds, all of it or nothing.
// Nothing that is put is kept or changed by the engine afterwards.
type Tx interface {
	Clear()
	Meta(store.Meta)
	PutGroup(groups.Group)
	DeleteGroup(id uint32)
	PutSet(id groups.SetID, gs []uint32, u *usage.Usage)
	PutMember(groups.Life, usage.Account)
	DeleteMember(groups.Key)
	PutDeath(usage.OpenDeath)
	Held([]acct.Record)
	PutOrigin(lineage.Origin)
	DeleteOrigin(lineage.Origin)
	PutAncestors([]lineage.Ancestor)
	fill.Tx
	AddCell(*history.Key, *usage.Usage)
	DropHistory(before uint32, most int)
	AddUp(first, last uint32, most int)
	FindHour(from uint32)

	// What follows is known once the transaction has ended.

	// Applied reports whether it was made, even if it failed after that.
	Applied() bool
	// Dropped and AddedUp are how many cells DropHistory and AddUp were about.
	Dropped() int
	AddedUp() int
	// Hour is what FindHour found.
	Hour() (hour uint32, ok bool)
}

var _ Tx = (*store.Tx)(nil)
