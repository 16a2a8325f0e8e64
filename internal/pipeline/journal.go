// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"time"

	"elsa/internal/journal"
)

// Journal is where the rows of a transaction go, before it. Its methods are called in the
// goroutine that writes. A nil Journal takes nothing.
type Journal struct {
	*journal.Journal
	// Archive is the directory where it is said up to which segment all is sealed.
	Archive string

	looked time.Time
}

// lookEvery is how often it is asked what was sealed.
const lookEvery = time.Minute

// write puts the rows of a commit on disk, and how far that is in its transaction.
func (j *Journal) write(w *writing) {
	if j == nil || w.rows == nil {
		return
	}
	now := time.Now()
	for i := range w.rows.List {
		j.Row(&w.rows.List[i])
	}
	for i := range w.rows.Fixes {
		j.Fix(&w.rows.Fixes[i])
	}
	j.Settled(w.rows.Settled)
	w.tx.Journal(j.Flush(now))
	w.counts = j.Counts()
	if w.journal = j.Err(); w.journal == nil && now.Sub(j.looked).Abs() >= lookEvery {
		j.looked = now
		w.journal = j.release()
	}
}

// committed says that the transaction is on disk.
func (j *Journal) committed() {
	if j != nil {
		j.Committed()
	}
}

// release removes what was sealed.
func (j *Journal) release() error {
	n, err := journal.LastSealed(j.Archive)
	if err != nil {
		return err
	}
	return j.Release(n)
}
