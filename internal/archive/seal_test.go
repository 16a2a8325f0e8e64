// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"elsa/internal/journal"
)

// readFile reads a file by the library's own reader of rows.
func readRecords(t testing.TB, path string) []record {
	t.Helper()
	rows, err := parquet.ReadFile[record](path)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestSeal: every row of the journal is in one file of its day, as it was, and with
// what was known better of it; sealed again, the bytes are the same.
func TestSeal(t *testing.T) {
	rows := machine(3000, 1) // 50 minutes, and some over midnight
	dir := write(t, rows, 700)
	sums := func() map[string][32]byte {
		files, err := Files(dir)
		if err != nil {
			t.Fatal(err)
		}
		m := map[string][32]byte{}
		for _, f := range files {
			b, err := os.ReadFile(f.Path)
			if err != nil {
				t.Fatal(err)
			}
			m[f.Path] = sha256.Sum256(b)
		}
		return m
	}
	done, err := Seal(dir)
	if err != nil || done.Rows != uint64(len(rows)) || done.Segments != 5 || len(done.Damage) > 0 {
		t.Fatalf("%+v %v", done, err)
	}
	files, _ := Files(dir)
	if len(files) != done.Files {
		t.Errorf("%d files, not %d", len(files), done.Files)
	}
	h := newHeader(journal.Header{Source: testSource, Host: "node1"})
	got := map[uint64]bool{}
	for _, f := range files {
		for _, c := range readRecords(t, f.Path) {
			var want record
			want.fill(h, &rows[c.Seq-1])
			want.Segment = c.Segment
			if len(want.Groups) == 0 {
				want.Groups = c.Groups
			}
			if diff := cmp.Diff(want, c); diff != "" {
				t.Fatal(diff)
			}
			if time.Unix(0, c.Ended).UTC().Format(time.DateOnly) != f.Day || got[c.Seq] {
				t.Fatalf("row %d is in %s, or twice", c.Seq, f.Path)
			}
			got[c.Seq] = true
		}
	}
	if len(got) != len(rows) {
		t.Errorf("%d rows of %d", len(got), len(rows))
	}
	was := sums()
	if done, err := Seal(dir); err != nil || done.Segments != 0 {
		t.Errorf("sealed again: %+v %v", done, err)
	}
	if err := os.Remove(filepath.Join(dir, journal.SealedName)); err != nil { // killed before it was noted
		t.Fatal(err)
	}
	if _, err := Seal(dir); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(was, sums()); diff != "" {
		t.Error(diff)
	}
}

// TestSealFixes: what is known better is in the file, and what may yet change is not
// sealed.
func TestSealFixes(t *testing.T) {
	rows := machine(4, 1)
	dir := t.TempDir()
	os.Mkdir(filepath.Join(dir, journal.Subdir), 0o700)
	j, err := journal.Open(journal.Options{Dir: filepath.Join(dir, journal.Subdir), Source: testSource, MaxAge: time.Hour, MaxBytes: 1 << 30}, journal.Position{}, 1, start)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	flush := func(hours int) { j.Flush(start.Add(time.Duration(hours) * time.Hour)); j.Committed() }
	j.Row(&rows[0])
	j.Row(&rows[1])
	flush(0)
	j.Row(&rows[2])
	j.Settled(1)
	flush(1)
	if done, err := Seal(dir); err != nil || done.Segments != 0 {
		t.Fatalf("sealed what may change: %+v %v", done, err)
	}
	fix := journal.Fix{Seq: 2, Measure: rows[1].Measure, Precision: journal.Exact, Status: 15, Exited: true}
	fix.Measure[0] += 12345
	j.Fix(&fix)
	j.Settled(2)
	flush(1)
	if done, err := Seal(dir); err != nil || done.Segments != 1 || done.Rows != 2 {
		t.Fatalf("%+v %v", done, err)
	}
	files, _ := Files(dir)
	got := readRecords(t, files[0].Path)
	if got[1].CPUUser != fix.Measure[0] || got[1].Status == nil || *got[1].Status != 15 {
		t.Errorf("the fix is not in the file: %+v", got[1])
	}
}

// TestSealBounds: a file has a bounded number of rows, whatever the segment has.
func TestSealBounds(t *testing.T) {
	dir := write(t, machine(fileRows+10, 1_000_000), fileRows+10)
	if _, err := Seal(dir); err != nil {
		t.Fatal(err)
	}
	files, _ := Files(dir)
	if len(files) != 2 || len(readRecords(t, files[0].Path)) != 10 && len(readRecords(t, files[1].Path)) != 10 {
		t.Errorf("%v", files)
	}
}

// TestSealDamage: a journal of which a part cannot be read is sealed without it, and
// that is told.
func TestSealDamage(t *testing.T) {
	rows := machine(3000, 100)
	dir := write(t, rows, 1000)
	path := filepath.Join(dir, journal.Subdir, "0000000002.journal")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte{1, 2, 3}, 5000)
	f.Close()
	if err := os.WriteFile(filepath.Join(dir, journal.Subdir, "0000000003.journal"), []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	done, err := Seal(dir)
	if err != nil || len(done.Damage) != 2 || done.Rows < 1000 || done.Rows >= 2000 || done.Segments != 3 {
		t.Errorf("%+v %v", done, err)
	}
}

// TestPrune: old days go, then the oldest files until the rest fits.
func TestPrune(t *testing.T) {
	dir := t.TempDir()
	put := func(day, name string, size int) {
		os.MkdirAll(filepath.Join(dir, "day="+day), 0o700)
		if err := os.WriteFile(filepath.Join(dir, "day="+day, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	names := func() (s []string) {
		files, _ := Files(dir)
		for _, f := range files {
			s = append(s, strings.TrimPrefix(f.Path, dir+"/day="))
		}
		return s
	}
	put("2026-11-01", "a.parquet", 10)
	put("2026-11-20", "b.parquet", 10)
	put("2026-11-28", "c.parquet", 10)
	put("2026-11-28", "d.parquet", 10)
	put("2026-11-28", "e.parquet.tmp", 10)
	now := start.Add(10 * time.Minute)
	for _, c := range []struct {
		about string
		keep  int
		most  int64
		now   time.Time
		want  []string
	}{
		{"the clock is years ahead", 30, 100, now.AddDate(9, 0, 0), []string{"2026-11-01/a.parquet", "2026-11-20/b.parquet", "2026-11-28/c.parquet", "2026-11-28/d.parquet"}},
		{"the clock is back", 30, 100, now.AddDate(-9, 0, 0), []string{"2026-11-01/a.parquet", "2026-11-20/b.parquet", "2026-11-28/c.parquet", "2026-11-28/d.parquet"}},
		{"old", 10, 100, now, []string{"2026-11-20/b.parquet", "2026-11-28/c.parquet", "2026-11-28/d.parquet"}},
		{"too many bytes", 10, 15, now, []string{"2026-11-28/d.parquet"}},
	} {
		if _, err := Prune(dir, c.keep, c.most, c.now); err != nil {
			t.Error(c.about, err)
		}
		if diff := cmp.Diff(c.want, names()); diff != "" {
			t.Errorf("%s: %s", c.about, diff)
		}
	}
	if err := Clean(dir); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "day=2026-11-28", "*")); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
	if _, err := os.Stat(filepath.Join(dir, "day=2026-11-01")); !os.IsNotExist(err) {
		t.Error("the directory of a day without files stays")
	}
}

// BenchmarkSeal: rows a second of CPU time, bytes a row in the journal and in the file.
func BenchmarkSeal(b *testing.B) {
	rows := machine(5*fileRows, 5000)
	dir := write(b, rows, fileRows)
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	n := 0
	var peak runtime.MemStats
	for b.Loop() {
		os.Remove(filepath.Join(dir, journal.SealedName))
		if _, err := Seal(dir); err != nil {
			b.Fatal(err)
		}
		n += len(rows)
	}
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	runtime.ReadMemStats(&peak)
	cpu := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
	b.ReportMetric(float64(n)/cpu.Seconds(), "rows/cpu-s")
	size := func(glob string) (sum int64) {
		list, _ := filepath.Glob(filepath.Join(dir, glob))
		for _, path := range list {
			st, _ := os.Stat(path)
			sum += st.Size()
		}
		return sum
	}
	b.ReportMetric(float64(size("day=*/*.parquet"))/float64(len(rows)), "B/row-parquet")
	b.ReportMetric(float64(size("journal/*"))/float64(len(rows)), "B/row-journal")
}
