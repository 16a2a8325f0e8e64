// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var testTime = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func testOptions(dir string) Options {
	return Options{Dir: dir, Source: [16]byte{1}, Boot: [16]byte{2}, Host: "node1", MaxAge: time.Hour, MaxBytes: 1 << 30}
}

func mustOpen(t interface{ Fatal(...any) }, o Options, at Position, base uint64, now time.Time) *Journal {
	j, err := Open(o, at, base, now)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// readDir returns the committed rows of a journal, with fixes, and what was damaged.
func readDir(t interface{ Fatal(...any) }, dir string) (rows []Row, damage []error, settled []bool) {
	list, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range list {
		fixes, err := LoadFixes(dir, list, i, &Visitor{Damage: func(d *Damage) { damage = append(damage, d) }})
		if err != nil {
			damage = append(damage, err)
			continue
		}
		settled = append(settled, fixes.Settled)
		s, err := OpenSegment(dir, n)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Read(&Visitor{Row: func(r *Row) {
			c := *r
			fixes.Apply(&c)
			rows = append(rows, c)
		}}); err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	return rows, damage, settled
}

// TestModelJournal: whatever is written, fails, or is killed at any point, a reader has
// exactly the rows of the position that was stored, each with its last fix; what could
// not be written is counted.
func TestModelJournal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "journal")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		o, now := testOptions(dir), testTime
		j := mustOpen(t, o, Position{}, 1, now)
		broken := false
		fail := func() {
			j.write = func(f *os.File, b []byte, at int64) error {
				if broken {
					f.WriteAt(b[:len(b)/2], at) // a disk that gets full takes some of it
					return syscall.ENOSPC
				}
				_, err := f.WriteAt(b, at) // not synced: no power is lost here
				return err
			}
		}
		fail()
		type state struct {
			rows []Row
			at   Position
			seq  uint64
		}
		var stored, live state // live: flushed
		live.seq, stored.seq = 1, 1
		var pending []Row
		var fixes []Fix
		lost := Lost{}
		for range rapid.IntRange(5, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 7).Draw(t, "step") {
			case 0, 1: // rows
				for range rapid.IntRange(1, 5).Draw(t, "rows") {
					r := drawRow(t, live.seq+uint64(len(pending)))
					pending = append(pending, r)
					j.Row(&r)
				}
			case 2: // a fix of what was flushed
				if len(live.rows) > 0 {
					r := rapid.SampledFrom(live.rows).Draw(t, "fixed")
					f := Fix{Seq: r.Seq, Measure: drawMeasure(t), Precision: Exact, Exited: rapid.Bool().Draw(t, "exited")}
					if f.Exited {
						f.Status = rapid.Uint32().Draw(t, "status")
					}
					fixes = append(fixes, f)
					j.Fix(&f)
				}
			case 3, 4, 5: // flush, and the transaction may fail
				broken = rapid.IntRange(0, 4).Draw(t, "disk") == 0
				was := j.Counts().Lost
				at := j.Flush(now)
				live.seq += uint64(len(pending))
				if broken && (len(pending) > 0 || len(fixes) > 0) {
					lost.Add(Lost{uint64(len(pending)), uint64(len(fixes))})
					if at != live.at || !errors.Is(j.Err(), syscall.ENOSPC) {
						t.Fatalf("position %v after a failure, was %v; %v", at, live.at, j.Err())
					}
				} else {
					live.rows = append(append([]Row(nil), live.rows...), pending...)
					for i := range fixes {
						for k := range live.rows {
							if live.rows[k].Seq == fixes[i].Seq {
								fixes[i].Apply(&live.rows[k])
							}
						}
					}
					live.at = at
				}
				if got := j.Counts().Lost; got.Rows-was.Rows > uint64(len(pending)) || got != lost {
					t.Fatalf("lost %+v, want %+v", got, lost)
				}
				pending, fixes, broken = nil, nil, false
				if rapid.IntRange(0, 3).Draw(t, "transaction") > 0 {
					j.Committed()
					stored = live
				}
			case 6: // time passes, and the next segment is due
				now = now.Add(2 * time.Hour)
			case 7: // killed
				j.Close()
				j = mustOpen(t, o, stored.at, stored.seq, now)
				fail()
				if j.Err() != nil {
					t.Fatal(j.Err())
				}
				live, pending, fixes, lost = stored, nil, nil, Lost{}
			}
			rows, damage, _ := readDir(t, dir)
			if diff := gocmp.Diff(stored.rows, rows); diff != "" || len(damage) > 0 {
				t.Fatalf("%v\n%s", damage, diff)
			}
		}
		j.Close()
	})
}

// write makes a journal of rows in one segment and returns its directory.
func writeJournal(t testing.TB, rows []Row, batch int) (dir string, at Position) {
	dir = t.TempDir()
	j := mustOpen(t, testOptions(dir), Position{}, 1, testTime)
	defer j.Close()
	for i := range rows {
		j.Row(&rows[i])
		if (i+1)%batch == 0 || i == len(rows)-1 {
			at = j.Flush(testTime)
			j.Committed()
		}
	}
	if j.Err() != nil {
		t.Fatal(j.Err())
	}
	return dir, at
}

// TestDamage: whichever byte of a segment is wrong, no wrong row is read, every row of
// other blocks is, and what is missing is told.
func TestDamage(t *testing.T) {
	rows := builds(60)
	dir, at := writeJournal(t, rows, 6)
	path := segmentPath(dir, 1)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head := len((&Header{Host: "node1"}).encode(0))
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := 0; i < int(at.Length); i += 3 {
		if i >= committedAt && i < lengthAt {
			continue // how much is committed: not of the data
		}
		f.WriteAt([]byte{good[i] ^ 0x41}, int64(i))
		got, damage, _ := readDir(t, dir)
		f.WriteAt(good[i:i+1], int64(i))
		if len(damage) != 1 {
			t.Fatalf("byte %d: %v", i, damage)
		}
		if i < head {
			continue
		}
		if len(got) != len(rows)-6 {
			t.Fatalf("byte %d: %d rows of %d", i, len(got), len(rows))
		}
		for _, r := range got {
			if diff := gocmp.Diff(rows[r.Seq-1], r); diff != "" {
				t.Fatalf("byte %d:\n%s", i, diff)
			}
		}
	}
}

// TestTorn: a segment that ends anywhere is read up to there, and when the rest is
// there the same reader goes on.
func TestTorn(t *testing.T) {
	rows := builds(40)
	dir, at := writeJournal(t, rows, 8)
	path := segmentPath(dir, 1)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head := int64(len((&Header{Host: "node1"}).encode(0)))
	for cut := head; cut <= at.Length; cut += 5 {
		if err := os.WriteFile(path, good[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := OpenSegment(dir, 1)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		v := &Visitor{Row: func(r *Row) {
			if diff := gocmp.Diff(rows[n], *r); diff != "" {
				t.Fatal(diff)
			}
			n++
		}}
		if err := s.Read(v); err != nil {
			t.Fatal(err)
		}
		if cut < at.Length && n == len(rows) {
			t.Fatalf("all rows of %d bytes", cut)
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Read(v); err != nil || n != len(rows) {
			t.Fatalf("cut at %d: %d rows: %v", cut, n, err)
		}
		s.Close()
	}
}

// TestNotCommitted: what is flushed and not committed is not read, and cut off at the
// next start; a segment of which nothing was committed goes.
func TestNotCommitted(t *testing.T) {
	rows := builds(30)
	dir, at := writeJournal(t, rows[:10], 10)
	j := mustOpen(t, testOptions(dir), at, 11, testTime)
	j.Row(&rows[10])
	j.Flush(testTime)
	if got, _, _ := readDir(t, dir); len(got) != 10 {
		t.Errorf("%d rows", len(got))
	}
	j.Close()
	j = mustOpen(t, testOptions(dir), at, 11, testTime.Add(2*time.Hour))
	if st, err := os.Stat(segmentPath(dir, 1)); err != nil || st.Size() != at.Length {
		t.Errorf("%v bytes, want %d: %v", st.Size(), at.Length, err)
	}
	j.began = testTime
	j.Row(&rows[10])
	if next := j.Flush(testTime.Add(2 * time.Hour)); next.Segment != 2 {
		t.Errorf("position %v, want segment 2", next)
	}
	j.Close()
	j = mustOpen(t, testOptions(dir), at, 11, testTime)
	defer j.Close()
	if list, _ := List(dir); len(list) != 1 {
		t.Errorf("segments %v", list)
	}
}

// TestSettled: a segment is settled once a mark says so of all its rows, or another
// source writes.
func TestSettled(t *testing.T) {
	rows := builds(4)
	dir := t.TempDir()
	o := testOptions(dir)
	j := mustOpen(t, o, Position{}, 1, testTime)
	step := func(now time.Time, want ...bool) (at Position) {
		t.Helper()
		at = j.Flush(now)
		j.Committed()
		if _, _, got := readDir(t, dir); gocmp.Diff(want, got) != "" {
			t.Errorf("settled: %v, want %v", got, want)
		}
		return at
	}
	j.Row(&rows[0])
	j.Row(&rows[1])
	step(testTime, false)
	j.Settled(1)
	step(testTime, false)
	j.Row(&rows[2])
	step(testTime.Add(time.Hour), false, false)
	j.Settled(2)
	at := step(testTime.Add(time.Hour), true, false)
	j.Close()
	o.Source = [16]byte{9}
	j = mustOpen(t, o, Position{}, 1, testTime)
	j.Row(&rows[3])
	if next := step(testTime, true, true, false); next.Segment != at.Segment+1 {
		t.Errorf("position %v", next)
	}
	j.Close()
}

// TestBound: beyond its bound the oldest segments go, and their rows are counted; what
// was sealed goes by Release and is not lost.
func TestBound(t *testing.T) {
	rows := builds(40)
	dir := t.TempDir()
	o := testOptions(dir)
	o.MaxBytes = 2000
	j := mustOpen(t, o, Position{}, 1, testTime)
	defer j.Close()
	for i := range rows {
		j.Row(&rows[i])
		if i%4 == 3 {
			j.Flush(testTime.Add(time.Duration(i) * time.Hour))
			j.Committed()
		}
	}
	got, _, _ := readDir(t, dir)
	lost := j.Counts().Lost.Rows
	if lost == 0 || uint64(len(got))+lost != uint64(len(rows)) {
		t.Errorf("%d rows kept, %d lost", len(got), lost)
	}
	if err := j.Release(j.at.Segment - 1); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := readDir(t, dir); len(got) != 4 || j.Counts().Lost.Rows != lost {
		t.Errorf("%d rows left, %d lost", len(got), j.Counts().Lost.Rows)
	}
}

// TestNoDirectory: where nothing can be written, rows are lost and counted, and the
// journal works once it can.
func TestNoDirectory(t *testing.T) {
	rows := builds(3)
	dir := t.TempDir() + "/later"
	j := mustOpen(t, testOptions(dir), Position{}, 1, testTime)
	defer j.Close()
	j.Row(&rows[0])
	j.Row(&rows[1])
	if at := j.Flush(testTime); at != (Position{}) || j.Err() == nil || j.Counts().Lost.Rows != 2 {
		t.Errorf("%v %v %+v", at, j.Err(), j.Counts())
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	j.Row(&rows[2])
	j.Flush(testTime)
	j.Committed()
	lost := Lost{}
	s, err := OpenSegment(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Read(&Visitor{Lost: func(l Lost) { lost = l }}); lost.Rows != 2 || j.Err() != nil {
		t.Errorf("the journal tells of %+v; %v", lost, j.Err())
	}
}

// TestDeleted: a segment that somebody deleted while it was written to is lost and
// counted, and the next rows are in the one after it.
func TestDeleted(t *testing.T) {
	rows := builds(5)
	dir, at := writeJournal(t, rows[:3], 3)
	j := mustOpen(t, testOptions(dir), at, 4, testTime)
	defer j.Close()
	if err := os.Remove(segmentPath(dir, 1)); err != nil {
		t.Fatal(err)
	}
	j.Row(&rows[3])
	at = j.Flush(testTime)
	j.Committed()
	if got, damage, _ := readDir(t, dir); len(got) != 1 || len(damage) > 0 || at.Segment != 2 || j.Counts().Lost.Rows != 3 {
		t.Errorf("%d rows, position %v, %+v; %v", len(got), at, j.Counts(), damage)
	}
}

// TestUnfinished: a segment has its name once it is whole. What a service that was killed
// left of one is removed, and its number is used.
func TestUnfinished(t *testing.T) {
	rows := builds(2)
	dir := t.TempDir()
	left := segmentPath(dir, 1) + unfinished
	if err := os.WriteFile(left, []byte("ELSA"), 0o600); err != nil {
		t.Fatal(err)
	}
	j := mustOpen(t, testOptions(dir), Position{}, 1, testTime)
	defer j.Close()
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", left, err)
	}
	j.write = func(f *os.File, b []byte, at int64) error {
		if list, err := List(dir); len(list) > 0 || err != nil {
			t.Errorf("there is %v before it is written: %v", list, err)
		}
		return writeSync(f, b, at)
	}
	j.Row(&rows[0])
	j.Flush(testTime)
	if list, err := List(dir); len(list) != 1 || err != nil {
		t.Errorf("there is %v: %v", list, err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("files: %v", names)
	}
}

// TestAppendDoesNotAllocate: a row costs no allocation.
func TestAppendDoesNotAllocate(t *testing.T) {
	rows := builds(2000)
	var e Encoder
	for i := range rows {
		e.Row(&rows[i])
	}
	e.Reset()
	i := 0
	if n := testing.AllocsPerRun(len(rows)-10, func() { e.Row(&rows[i]); i++ }); n > 0 {
		t.Errorf("%v allocations a row", n)
	}
}
