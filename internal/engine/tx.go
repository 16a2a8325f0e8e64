// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"elsa/internal/history"
	"elsa/internal/lineage"
	"elsa/internal/store"
	"elsa/pkg/acct"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// Tx is a transaction of the database; see [store.Tx], whose methods these are.
// What is put is safe when the transaction succeeds, all of it or nothing.
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
	Cell(*history.Key) usage.Usage
	PutCell(*history.Key, *usage.Usage)
	DropHistory(before uint32, most int) int
	AddUp(first, last uint32, most int) int
	NextHour(from uint32) (hour uint32, ok bool)
}

var _ Tx = (*store.Tx)(nil)
