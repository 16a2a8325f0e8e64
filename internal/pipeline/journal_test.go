// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"testing"
	"testing/synctest"
	"time"

	"elsa/internal/engine"
	"elsa/internal/journal"
	"elsa/internal/store"
)

// TestJournalHangs: a disk that does not answer holds up one commit for as long as is
// allowed, and no other; the rows meanwhile are counted, and the journal tells of them
// once it works.
func TestJournalHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		disk := make(chan struct{})
		j := &Journal{Archive: dir, Patience: time.Second, Open: func() (*journal.Journal, error) {
			<-disk
			return journal.Open(journal.Options{Dir: dir, MaxAge: time.Hour, MaxBytes: 1 << 30}, journal.Position{}, 1, time.Now())
		}}
		seq := uint64(0)
		write := func() (*writing, time.Duration) {
			seq++
			w := &writing{tx: &store.Tx{}, rows: &engine.Rows{List: []journal.Row{{Seq: seq, Groups: &journal.Groups{}}}}}
			began := time.Now()
			j.write(w)
			j.committed()
			return w, time.Since(began)
		}
		for n, want := range []time.Duration{time.Second, 0, 0} {
			w, took := write()
			if took != want || w.journal == nil || w.counts.Lost.Rows != uint64(n+1) {
				t.Errorf("commit %d took %v: %v %+v", n, took, w.journal, w.counts)
			}
		}
		close(disk)
		synctest.Wait()
		w, _ := write()
		if w.journal != nil || w.counts.Rows != 1 || w.counts.Lost.Rows != 3 {
			t.Errorf("after it: %v %+v", w.journal, w.counts)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		s, err := journal.OpenSegment(dir, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		lost := journal.Lost{}
		if err := s.Read(&journal.Visitor{Lost: func(l journal.Lost) { lost.Add(l) }}); err != nil || lost.Rows != 3 {
			t.Errorf("the journal tells of %+v: %v", lost, err)
		}
	})
}
