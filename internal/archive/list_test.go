// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"elsa/internal/journal"
)

// verified is what Verify tells of an archive.
func verified(t *testing.T, dir string) (rows uint64, said string) {
	t.Helper()
	rows, err := Verify(dir, func(err error) { said += err.Error() + "\n" })
	if err != nil {
		t.Fatal(err)
	}
	return rows, said
}

// TestMissing: a file that somebody deleted, and rows that are not in the journal, are
// said to be missing; what is old and removed for that is not. A clock that is set back
// makes nothing missing and removes nothing.
func TestMissing(t *testing.T) {
	rows := machine(3000, 1)
	for i := range rows[1000:] {
		rows[1000+i].Start -= 3 * dayNS
		rows[1000+i].End -= 3 * dayNS
	}
	rows = append(rows[:500], rows[510:]...)
	dir := write(t, rows, 700)
	if _, err := Seal(dir); err != nil {
		t.Fatal(err)
	}
	n, said := verified(t, dir)
	if n != uint64(len(rows))+1 || strings.Count(said, "missing") != 1 || !strings.Contains(said, "10 rows") {
		t.Errorf("%d rows of %d: %s", n, len(rows)+1, said)
	}
	if removed, err := Prune(dir, 7, 1<<30, start.AddDate(0, 0, -3)); err != nil || len(removed) > 0 {
		t.Errorf("a clock set back removes %v: %v", removed, err)
	}
	files, _ := Files(dir)
	if err := os.Remove(files[len(files)-1].Path); err != nil {
		t.Fatal(err)
	}
	if _, said := verified(t, dir); !strings.Contains(said, files[len(files)-1].Path+" is gone") {
		t.Errorf("a deleted file: %s", said)
	}
	if _, err := Prune(dir, 1, 1<<30, start.Add(40*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	before, _ := Files(dir)
	removed, err := Prune(dir, 7, 1, start.Add(24*time.Hour))
	if err != nil || len(removed) != len(before) {
		t.Errorf("%d of %d removed: %v", len(removed), len(before), err)
	}
	if _, said := verified(t, dir); strings.Count(said, "is gone") != 1 {
		t.Errorf("removed as old: %s", said)
	}
}

// TestSealUncommitted: while nothing of the next segment is committed, the one before
// may be written to again after a crash, and is not sealed.
func TestSealUncommitted(t *testing.T) {
	rows := machine(3, 1)
	dir := t.TempDir()
	o := journal.Options{Dir: filepath.Join(dir, journal.Subdir), Source: testSource, MaxAge: time.Hour, MaxBytes: 1 << 30, MaxRows: 1}
	os.Mkdir(o.Dir, 0o700)
	j, err := journal.Open(o, journal.Position{}, 1, start)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	j.Row(&rows[0])
	j.Settled(1)
	j.Flush(start)
	j.Committed()
	j.Row(&rows[1])
	j.Flush(start)
	if done, err := Seal(dir); err != nil || done.Segments != 0 {
		t.Errorf("%+v %v", done, err)
	}
	j.Committed()
	if done, err := Seal(dir); err != nil || done.Segments != 1 {
		t.Errorf("once it is committed: %+v %v", done, err)
	}
}
