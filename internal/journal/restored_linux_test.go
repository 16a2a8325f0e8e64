// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"testing"
	"time"
)

// TestRestored: where an older database is put back, or a new one made, no number of
// what was written or sealed is used again, and nothing of it is cut off.
func TestRestored(t *testing.T) {
	rows := builds(12)
	dir, old := writeJournal(t, rows[:4], 4)
	j := mustOpen(t, testOptions(dir), old, 5, testTime)
	for i := range rows[4:8] {
		j.Row(&rows[4+i])
	}
	j.Flush(testTime)
	j.Committed()
	j.Close()
	for _, x := range []struct {
		at     Position
		sealed uint64
		next   uint64
	}{{old, 0, 2}, {Position{}, 7, 8}} {
		o := testOptions(dir)
		o.Sealed = x.sealed
		j := mustOpen(t, o, x.at, 5, testTime)
		if !j.NewSource() {
			t.Errorf("%+v is not known to be older", x)
		}
		j.Row(&rows[8])
		at := j.Flush(testTime)
		if at.Segment != x.next || at.Source == o.Source || at.Source == ([16]byte{}) {
			t.Errorf("it goes on at %+v, want segment %d of another source", at, x.next)
		}
		j.Committed()
		j.Close()
		o.Sealed = 0
		if j = mustOpen(t, o, at, 6, testTime); j.NewSource() || j.options.Source != at.Source {
			t.Error("the next start takes another source again")
		}
		j.Close()
	}
	if got, damage, _ := readDir(t, dir); len(got) != 10 || len(damage) > 0 {
		t.Errorf("%d rows, want 10; %v", len(got), damage)
	}
}

// TestRevert: a flush that nobody waited for is undone: its rows are lost and told, and
// the next one is read.
func TestRevert(t *testing.T) {
	rows := builds(6)
	dir, at := writeJournal(t, rows[:2], 2)
	j := mustOpen(t, testOptions(dir), at, 3, testTime)
	defer j.Close()
	j.Row(&rows[2])
	j.Flush(testTime)
	if j.Revert(); j.Position() != at || j.Counts().Lost.Rows != 1 || j.Counts().Rows != 0 {
		t.Errorf("%+v %+v", j.Position(), j.Counts())
	}
	j.began = testTime.Add(-2 * time.Hour)
	j.Row(&rows[3])
	if at := j.Flush(testTime); at.Segment != 2 {
		t.Errorf("%+v", at)
	}
	j.Revert()
	j.Row(&rows[4])
	if at := j.Flush(testTime); at.Segment != 2 {
		t.Errorf("number 2 is left out: %+v", at)
	}
	j.Committed()
	got, damage, _ := readDir(t, dir)
	if len(got) != 3 || got[2].Seq != 5 || len(damage) > 0 {
		t.Errorf("%d rows; %v", len(got), damage)
	}
	if f, err := LoadFixes(dir, []uint64{1, 2}, 0, &Visitor{}); err != nil || f.Missing != 2 {
		t.Errorf("%+v %v", f, err)
	}
}
