// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"elsa/internal/journal"
	"elsa/pkg/groups"
)

// Rows are what a transaction's bills are made of, for the journal. They must be on disk
// before the transaction, and go with it.
type Rows struct {
	List  []journal.Row
	Fixes []journal.Fix
	// Settled: no fix comes for rows up to it.
	Settled uint64
	// Dropped are rows that there was no room for, while the disk hung.
	Dropped uint64
}

// rows are those since the last Save. Two sets of buffers take turns: one transaction
// is written at a time.
type rows struct {
	next    uint64 // the next row's number
	now     Rows
	written Rows
	parts   map[groups.Key]uint32
	sets    map[groups.SetID]*journal.Groups
}

// maxRows bounds the rows, and the fixes, that wait for the disk: some 60 MiB.
const maxRows = 1 << 18

// take hands out the rows since the last time.
func (r *rows) take(settled uint64) *Rows {
	r.now, r.written = Rows{List: r.written.List[:0], Fixes: r.written.Fixes[:0]}, r.now
	if cap(r.now.List) > maxRows/16 {
		r.now = Rows{} // give a storm's memory back
	}
	r.written.Settled = settled
	return &r.written
}
