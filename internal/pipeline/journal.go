// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"sync/atomic"
	"time"

	"elsa/internal/journal"
)

// Journal is where the rows of a transaction go, before it. Its methods are called in
// one goroutine at a time: that which writes, and at the end that which closes it. What
// waits for the disk of the journal runs in goroutines of its own, one at a time. A nil
// Journal takes nothing.
type Journal struct {
	// Open opens it, now or again after it failed.
	Open func() (*journal.Journal, error)
	// Archive is the directory where it is said up to which segment all is sealed.
	Archive string
	// Patience is how long a commit waits for the disk of the journal. After that its
	// rows are lost. 0 is for ever: the bills are on the same disk.
	Patience time.Duration

	journal *journal.Journal // nil until it is open
	at      journal.Position // of what was written last
	now     *task            // under way, or ended; nil if none is
	late    bool             // it was waited for in vain
	counts  journal.Counts
	missed  journal.Lost // what the journal does not know to be lost
	looked  time.Time    // when it was asked what is sealed, or opened in vain
	err     error        // of opening, and of what is no part of a commit
}

// task is something that the disk may let wait.
type task struct {
	done  chan struct{}
	ended atomic.Bool // it has, or nobody waits for it any more: whichever was first
}

// lookEvery is how often it is asked what was sealed.
const lookEvery = time.Minute

var errJournalHang = errors.New("its disk does not answer; rows are dropped and counted until it does")

// begin runs f. undo runs after it if it was given up meanwhile.
func (j *Journal) begin(f, undo func()) {
	t := &task{done: make(chan struct{})}
	j.now = t
	go func() {
		defer close(t.done)
		if f(); !t.ended.CompareAndSwap(false, true) && undo != nil {
			undo()
		}
	}()
}

// wait waits for what is under way, if that has not been in vain before, and says
// whether it ended.
func (j *Journal) wait() bool {
	if j.now == nil {
		return true
	}
	if j.late {
		select {
		case <-j.now.done:
		default:
			return false
		}
	} else if j.Patience == 0 {
		<-j.now.done
	} else {
		t := time.NewTimer(j.Patience)
		defer t.Stop()
		select {
		case <-j.now.done:
		case <-t.C:
			if j.now.ended.CompareAndSwap(false, true) {
				j.late = true
				return false
			}
			<-j.now.done
		}
	}
	j.now, j.late = nil, false
	return true
}

// write puts the rows of a commit on disk, and how far that is in its transaction. It
// takes no longer than Patience allows.
func (j *Journal) write(w *writing) {
	if j == nil || w.rows == nil {
		return
	}
	now := time.Now()
	of := journal.Lost{Rows: uint64(len(w.rows.List)), Fixes: uint64(len(w.rows.Fixes))}
	j.missed.Add(journal.Lost{Rows: w.rows.Dropped})
	lose := func(err error) {
		j.missed.Add(of)
		w.journal = err
	}
	defer func() {
		if j.journal != nil {
			w.tx.Journal(j.at)
		}
		w.counts = j.counts
		w.counts.Lost.Add(j.missed)
	}()
	if !j.wait() {
		lose(errJournalHang)
		return
	}
	if !j.opened(now) {
		lose(j.err)
		return
	}
	j.journal.Lose(j.missed)
	j.missed = journal.Lost{}
	for i := range w.rows.List {
		j.journal.Row(&w.rows.List[i])
	}
	for i := range w.rows.Fixes {
		j.journal.Fix(&w.rows.Fixes[i])
	}
	j.journal.Settled(w.rows.Settled)
	j.counts = j.journal.Counts()
	var at journal.Position
	j.begin(func() { at = j.journal.Flush(now) }, j.journal.Revert)
	if !j.wait() {
		// The journal counts them itself once its disk answers.
		j.counts.Lost.Add(of)
		w.journal = errJournalHang
		return
	}
	j.at, j.counts, w.journal = at, j.journal.Counts(), errors.Join(j.journal.Err(), j.err)
}

// opened tells whether the journal is open, and opens it. err says why it is not.
func (j *Journal) opened(now time.Time) bool {
	if j.journal != nil {
		return true
	}
	if j.err != nil && now.Sub(j.looked).Abs() < lookEvery {
		return false
	}
	j.looked = now
	var opened *journal.Journal
	var err error
	j.begin(func() { opened, err = j.Open() }, func() {
		if opened != nil {
			opened.Close() // and the next commit tries again
		}
	})
	if !j.wait() {
		j.err, j.looked = errJournalHang, time.Time{}
		return false
	}
	if j.err = err; err != nil {
		return false
	}
	j.journal, j.at, j.looked = opened, opened.Position(), time.Time{}
	return true
}

// committed says that the transaction is on disk. Nobody waits for what follows.
func (j *Journal) committed() {
	if j == nil || j.journal == nil || !j.wait() {
		return
	}
	now := time.Now()
	look := now.Sub(j.looked).Abs() >= lookEvery
	if look {
		j.looked = now
	}
	j.begin(func() {
		j.journal.Committed()
		if look {
			j.err = j.release()
		}
	}, nil)
}

// release removes what was sealed.
func (j *Journal) release() error {
	n, err := journal.LastSealed(j.Archive)
	if err != nil {
		return err
	}
	return j.journal.Release(n)
}

// Close waits for what is under way and closes the journal.
func (j *Journal) Close() error {
	if !j.wait() || j.journal == nil {
		return nil
	}
	return j.journal.Close()
}
