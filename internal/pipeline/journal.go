// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/journal"
)

// Journal is where the rows of a transaction go, before it. Its methods are called in the
// goroutine that writes. A nil Journal takes nothing.
type Journal struct {
	*journal.Journal
	// Sealed is the file that says up to which segment all is sealed.
	Sealed string

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

// release removes what was sealed. The file is of a program without rights: it is
// believed in this alone.
func (j *Journal) release() error {
	f, err := os.OpenFile(j.Sealed, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 64)
	if err != nil {
		return err
	}
	return j.Release(n)
}
