// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
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

// TestSegmentGone: a segment of the journal that somebody deleted is named, before and
// after those that follow it are sealed.
func TestSegmentGone(t *testing.T) {
	rows := machine(900, 1)
	path := func(dir string, n int) string {
		return filepath.Join(dir, journal.Subdir, fmt.Sprintf("%010d.journal", n))
	}
	for _, c := range []struct {
		gone []int
		said string
	}{{[]int{1}, "segment-1"}, {[]int{2, 3}, "segments-2-3"}, {[]int{5}, "segment-5"}} {
		dir := write(t, rows, 100)
		for _, n := range c.gone {
			if err := os.Remove(path(dir, n)); err != nil {
				t.Fatal(err)
			}
		}
		n, said := verified(t, dir)
		if !strings.Contains(said, c.said+" of the journal is gone") || n != uint64(len(rows)+1-100*len(c.gone)) {
			t.Errorf("%d rows: %s", n, said)
		}
		if done, err := Seal(dir); err != nil || len(done.Damage) != 1 {
			t.Errorf("%+v %v", done, err)
		}
		if again, said := verified(t, dir); again != n || !strings.Contains(said, "rows of about 2026-11-28 are missing, or more") || !strings.Contains(said, c.said) {
			t.Errorf("sealed, %d rows: %s", again, said)
		}
	}
	dir := write(t, rows, 100)
	if _, err := Seal(dir); err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(dir, journal.SealedName))
	os.Remove(path(dir, 1)) // as elsad does
	if n, said := verified(t, dir); said != "" || n != uint64(len(rows)+1) {
		t.Errorf("what was sealed is told to be gone: %d rows, %s", n, said)
	}
}

// TestFixesLost: better figures that could not be written are said to be missing, before
// and after the segment is sealed.
func TestFixesLost(t *testing.T) {
	rows := machine(3, 1)
	dir := t.TempDir()
	o := journal.Options{Dir: filepath.Join(dir, journal.Subdir), Source: testSource, MaxAge: time.Hour, MaxBytes: 1 << 30, MaxRows: 2}
	os.Mkdir(o.Dir, 0o700)
	j, err := journal.Open(o, journal.Position{}, 1, start)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	j.Row(&rows[0])
	j.Row(&rows[1])
	j.Settled(2)
	j.Lose(journal.Lost{Fixes: 3})
	j.Flush(start)
	j.Committed()
	j.Row(&rows[2])
	j.Flush(start)
	j.Committed()
	for _, sealed := range []int{0, 1} {
		if sealed > 0 {
			if done, err := Seal(dir); err != nil || done.Segments != 1 {
				t.Fatalf("%+v %v", done, err)
			}
		}
		if n, said := verified(t, dir); n != 3 || strings.Count(said, "\n") != 1 || !strings.Contains(said, "better figures of 3 rows") {
			t.Errorf("%d sealed, %d rows: %s", sealed, n, said)
		}
	}
}

// TestListComesFirst: there is no moment at which there are files and no list of them.
func TestListComesFirst(t *testing.T) {
	dir := write(t, machine(30, 1), 10)
	if err := os.Mkdir(filepath.Join(dir, listName+tmp), 0o700); err != nil { // in the way of the list
		t.Fatal(err)
	}
	if _, err := Seal(dir); err == nil {
		t.Error("no list can be written, and that is no error")
	}
	if files, err := Files(dir); len(files) > 0 || err != nil {
		t.Errorf("files without a list: %v %v", files, err)
	}
}

// TestSealedDamaged: the file that says what is sealed is made anew of the list.
func TestSealedDamaged(t *testing.T) {
	rows := machine(100, 1)
	dir := write(t, rows, 10)
	if _, err := Seal(dir); err != nil {
		t.Fatal(err)
	}
	want, err := journal.LastSealed(dir)
	if err != nil || want == 0 {
		t.Fatal(want, err)
	}
	for _, bad := range []string{"", "x", "10", "10 00000000\n"} {
		if err := os.WriteFile(filepath.Join(dir, journal.SealedName), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if n, said := verified(t, dir); n != uint64(len(rows)+1) || strings.Count(said, "file sealed is damaged") != 1 {
			t.Errorf("%q: %d rows: %s", bad, n, said)
		}
		if done, err := Seal(dir); err != nil || len(done.Damage) != 1 || done.Segments != 0 {
			t.Errorf("%q: %+v %v", bad, done, err)
		}
		if got, err := journal.LastSealed(dir); got != want || err != nil {
			t.Errorf("%q: %d is sealed, want %d: %v", bad, got, want, err)
		}
	}
}
