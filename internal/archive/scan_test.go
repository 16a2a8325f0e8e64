// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"elsa/internal/journal"
	"elsa/internal/query"
	"elsa/pkg/usage"
)

// halfSealed is an archive of which a part is sealed and a part in the journal. That has
// files, too, which are not to be read: it was sealed a moment ago, and is not noted.
func halfSealed(t testing.TB, rows []journal.Row, size int) string {
	dir := write(t, rows, size)
	from := filepath.Join(dir, journal.Subdir)
	list, _ := journal.List(from)
	if _, err := Seal(dir); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(dir, journal.SealedName, journal.SealedText(list[len(list)/2]-1)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func ask(t interface {
	Helper()
	Fatal(...any)
}, dir string, q query.Query, owner *uint32) []byte {
	t.Helper()
	if err := q.Check(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	x := Scanner{Dir: dir, Owner: owner, Damage: func(err error) { t.Fatal(err) }}
	if err := x.Run(&q, &out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestModelQuery: what a query answers, of files and journal, is what a plain loop over
// the rows finds.
func TestModelQuery(t *testing.T) {
	rows := machine(4000, 1)
	dir := halfSealed(t, rows, 900)
	all := append(slices.Clone(rows), rows[len(rows)-1])
	all[len(rows)].Seq++
	rapid.Check(t, func(t *rapid.T) {
		q := query.Query{Format: "json"}
		var owner *uint32
		some := func(name string) bool { return rapid.IntRange(0, 2).Draw(t, name) == 0 }
		if some("group") {
			q.Group = rapid.SampledFrom([]string{"ci", "build/17", "none"}).Draw(t, "name")
		}
		if some("user") {
			q.User = rapid.SampledFrom([]string{"user1000", "1001", "nobody"}).Draw(t, "user name")
		}
		if some("command") {
			q.Command = rapid.SampledFrom([]string{"cc1", "as"}).Draw(t, "command name")
		}
		if some("exit") {
			q.Exit = rapid.SampledFrom(query.Exits).Draw(t, "kind")
		}
		if some("since") {
			q.Since = start.Add(time.Duration(rapid.IntRange(0, 3600).Draw(t, "s")) * time.Second)
		}
		if some("until") {
			q.Until = start.Add(time.Duration(rapid.IntRange(3601, 4200).Draw(t, "u")) * time.Second)
		}
		if some("owner") {
			owner = new(uint32(1000))
		}
		var want []journal.Row
		for _, r := range all {
			in := q.Group == "" || slices.Contains(r.Groups.Names, q.Group)
			in = in && (q.User == "" || r.User == q.User || fmt.Sprint(r.UID) == q.User)
			in = in && (q.Command == "" || commandName(r.Comm) == q.Command)
			in = in && (owner == nil || r.UID == *owner)
			in = in && (q.Since.IsZero() || r.End >= q.Since.UnixNano()) && (q.Until.IsZero() || r.End < q.Until.UnixNano())
			switch q.Exit {
			case "zero":
				in = in && r.Exited && r.Status == 0
			case "nonzero":
				in = in && r.Status == 256
			case "signal":
				in = in && r.Status == 9
			}
			if in {
				want = append(want, r)
			}
		}
		switch rapid.IntRange(0, 2).Draw(t, "what") {
		case 0:
			var got []map[string]any
			if err := json.Unmarshal(ask(t, dir, q, owner), &got); err != nil {
				t.Fatal(err)
			}
			if len(got) != len(want) {
				t.Fatalf("%d rows, want %d", len(got), len(want))
			}
			seqs := map[float64]bool{}
			for _, g := range got {
				seqs[g["seq"].(float64)] = true
			}
			for _, r := range want {
				if !seqs[float64(r.Seq)] {
					t.Fatalf("no row %d", r.Seq)
				}
			}
		case 1:
			q.Sort, q.Top = "cpu", 7
			slices.SortStableFunc(want, func(a, b journal.Row) int { return int(b.Measure.CPU() - a.Measure.CPU()) })
			var got []struct{ Seq uint64 }
			if err := json.Unmarshal(ask(t, dir, q, owner), &got); err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if w := want[i]; got[i].Seq != w.Seq && all[got[i].Seq-1].Measure.CPU() != w.Measure.CPU() {
					t.Fatalf("place %d is row %d, want %d", i, got[i].Seq, w.Seq)
				}
			}
			if len(got) != min(7, len(want)) {
				t.Fatalf("%d rows", len(got))
			}
		case 2:
			q.By = rapid.SampledFrom([][]string{{"command"}, {"group", "command"}, {"user", "hour", "exit"}, {"day"}, {"host"}, {"group", "user", "command", "hour"}}).Draw(t, "by")
			type figures struct {
				N, User, Elapsed, RSS uint64
			}
			sums := map[string]figures{}
			for _, r := range want {
				gs := r.Groups.Names
				if len(gs) == 0 {
					gs = []string{map[bool]string{true: "(unattributed)", false: "(ungrouped)"}[r.Groups.Unattributed]}
				}
				if !slices.Contains(q.By, "group") {
					gs = gs[:1]
				}
				for _, g := range gs {
					key := ""
					for _, by := range q.By {
						key += map[string]string{"host": "node1", "command": commandName(r.Comm), "user": r.User, "group": g,
							"hour": time.Unix(0, r.End).UTC().Truncate(time.Hour).Format("2006-01-02T15:04Z"),
							"day":  time.Unix(0, r.End).UTC().Format(time.DateOnly), "exit": exitText(statusOf(&r))}[by] + "|"
					}
					f := sums[key]
					if r.Part == 0 {
						f.N++
					}
					f.User += r.Measure[usage.User]
					f.Elapsed += r.Measure[usage.Elapsed]
					f.RSS = max(f.RSS, r.Measure[usage.MaxRSS])
					sums[key] = f
				}
			}
			var list []map[string]any
			if err := json.Unmarshal(ask(t, dir, q, owner), &list); err != nil {
				t.Fatal(err)
			}
			got := map[string]figures{}
			for _, m := range list {
				key := ""
				for _, by := range q.By {
					key += m[by].(string) + "|"
				}
				n := func(name string) uint64 { return uint64(m[name].(float64)) }
				got[key] = figures{n("processes"), n("cpu_user_ns"), n("elapsed_ns"), n("max_rss_bytes")}
			}
			if diff := cmp.Diff(sums, got); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

func statusOf(r *journal.Row) int64 {
	if !r.Exited {
		return -1
	}
	return int64(r.Status)
}

// TestTree: a process and what descends from it, whatever the order of their ends, and
// not what had the same pid before.
func TestTree(t *testing.T) {
	at := func(s int) int64 { return start.Add(time.Duration(s) * time.Second).UnixNano() }
	row := func(seq uint64, pid, ppid int32, from, to, parentFrom int) journal.Row {
		return journal.Row{Seq: seq, PID: pid, PPID: ppid, Start: at(from), End: at(to), ParentStart: at(parentFrom), Groups: testGroups[2]}
	}
	rows := []journal.Row{
		row(1, 100, 1, 0, 5, -100), row(2, 101, 100, 1, 3, 0), // an earlier life of 100, and its child
		row(3, 103, 102, 12, 13, 11), row(4, 104, 103, 12, 30, 12), row(5, 102, 100, 11, 20, 10), row(6, 100, 1, 10, 40, -100),
	}
	dir := write(t, rows, 2)
	for _, c := range []struct {
		tree string
		want []uint64
	}{
		{"100@" + time.Unix(0, at(10)).UTC().Format(time.RFC3339Nano), []uint64{3, 4, 5, 6, 7}},
		{fmt.Sprintf("100@%d", at(0)), []uint64{1, 2}},
		{"102", []uint64{3, 4, 5}},
		{"100", []uint64{1, 2, 3, 4, 5, 6, 7}},
	} {
		var got []struct{ Seq uint64 }
		if err := json.Unmarshal(ask(t, dir, query.Query{Tree: c.tree, Format: "json"}, nil), &got); err != nil {
			t.Fatal(err)
		}
		var seqs []uint64
		for _, g := range got {
			seqs = append(seqs, g.Seq)
		}
		slices.Sort(seqs)
		if diff := cmp.Diff(c.want, seqs); diff != "" {
			t.Errorf("%s: %s", c.tree, diff)
		}
	}
}

// TestTreeOfUnknown: where the start of a parent is not known, it is the one that had the
// pid when the child began, and no other.
func TestTreeOfUnknown(t *testing.T) {
	at := func(s int) int64 { return start.Add(time.Duration(s) * time.Second).UnixNano() }
	row := func(seq uint64, pid, ppid int32, from, to int) journal.Row {
		return journal.Row{Seq: seq, PID: pid, PPID: ppid, Start: at(from), End: at(to), Groups: testGroups[2]}
	}
	dir := write(t, []journal.Row{
		row(1, 100, 1, 0, 5), row(2, 101, 100, 2, 4), row(3, 102, 100, 12, 14), row(4, 100, 1, 10, 30),
		row(5, 103, 102, 13, 60), row(6, 104, 100, 35, 62), // 103 is an orphan; 104 of a third life of 100
	}, 3)
	for tree, want := range map[string]string{fmt.Sprintf("100@%d", at(10)): "[3 4 5]", fmt.Sprintf("100@%d", at(0)): "[1 2]", fmt.Sprintf("102@%d", at(12)): "[3 5]"} {
		var got []struct{ Seq uint64 }
		if err := json.Unmarshal(ask(t, dir, query.Query{Tree: tree, Format: "json"}, nil), &got); err != nil {
			t.Fatal(err)
		}
		var seqs []uint64
		for _, g := range got {
			seqs = append(seqs, g.Seq)
		}
		slices.Sort(seqs)
		if fmt.Sprint(seqs) != want {
			t.Errorf("%s: %v, want %s", tree, seqs, want)
		}
	}
}

// TestFormats: each format has all of a row; text of a process cannot harm.
func TestFormats(t *testing.T) {
	rows := machine(300, 10)
	copy(rows[0].Comm[:], "=cmd\x1b[2J\x00\x00\x00\x00\x00")
	dir := write(t, rows, 100)
	if out := string(ask(t, dir, query.Query{Format: "csv"}, nil)); strings.Count(out, "\n") != len(rows)+2 || strings.Contains(out, "\x1b") || !strings.Contains(out, ",'=cmd\\x1b[2J,") {
		t.Error("csv:", out[:500])
	}
	if out := string(ask(t, dir, query.Query{}, nil)); strings.Count(out, "\n") != len(rows)+2 || strings.Contains(out, "\x1b") {
		t.Error("table:", out[:500])
	}
	out := ask(t, dir, query.Query{Format: "parquet"}, nil)
	got, err := parquet.Read[record](bytes.NewReader(out), int64(len(out)))
	if err != nil || len(got) != len(rows)+1 || got[5].CPUUser != rows[5].Measure[usage.User] {
		t.Error("parquet:", len(got), err)
	}
}

// TestFlippedByte: whichever byte of a file is wrong, either all of its rows are right
// or it is named as damaged.
func TestFlippedByte(t *testing.T) {
	rows := machine(200, 10)
	dir := write(t, rows, 200)
	if _, err := Seal(dir); err != nil {
		t.Fatal(err)
	}
	files, _ := Files(dir)
	path := files[0].Path
	good, _ := os.ReadFile(path)
	q := query.Query{Format: "csv"}
	want := ask(t, dir, q, nil)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := 0; i < len(good); i += 7 {
		f.WriteAt([]byte{good[i] ^ 0x10}, int64(i))
		told := 0
		var out bytes.Buffer
		x := Scanner{Dir: dir, Damage: func(err error) {
			if told++; !strings.Contains(err.Error(), path) {
				t.Errorf("the damage does not name the file: %v", err)
			}
		}}
		if err := x.Run(&q, &out); err != nil {
			t.Fatal(err)
		}
		if told == 0 && !bytes.Equal(out.Bytes(), want) {
			t.Errorf("byte %d of %d: wrong, and nothing is told", i, len(good))
		}
		f.WriteAt(good[i:i+1], int64(i))
	}
}

// TestFlippedByteBeside: whichever byte is wrong of the files that say what is sealed and
// listed, or of the journal, the answer is the same, or it is told that something is
// damaged, and no row is changed.
func TestFlippedByteBeside(t *testing.T) {
	dir := halfSealed(t, machine(30, 10), 10)
	read := func() (rows map[string]bool, told int) {
		rows = map[string]bool{}
		var out bytes.Buffer
		x := Scanner{Dir: dir, Damage: func(error) { told++ }}
		if err := x.Run(&query.Query{Format: "csv"}, &out); err != nil {
			return rows, told + 1
		}
		for line := range strings.Lines(out.String()) {
			if rows[line] {
				t.Errorf("twice: %s", line)
			}
			rows[line] = true
		}
		return rows, told
	}
	want, told := read()
	if told > 0 {
		t.Fatalf("told %d times", told)
	}
	paths, _ := filepath.Glob(filepath.Join(dir, journal.Subdir, "*"))
	for _, path := range append(paths, filepath.Join(dir, journal.SealedName), filepath.Join(dir, listName)) {
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		step := 1
		if filepath.Dir(path) != dir {
			step = 7 // blocks: internal/journal has a test of each byte
		}
		for i := 0; i < len(good); i += step {
			bad := slices.Clone(good)
			bad[i] ^= []byte{0x01, 0x10}[i%2]
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			got, told := read()
			if told == 0 && !maps.Equal(got, want) {
				t.Fatalf("%s: byte %d of %d: %d rows of %d, and nothing is told", path, i, len(good), len(got), len(want))
			}
			for row := range got {
				if !want[row] {
					t.Fatalf("%s: byte %d of %d: a wrong row: %s", path, i, len(good), row)
				}
			}
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkQuery: rows a second of CPU time, by group and command.
func BenchmarkQuery(b *testing.B) {
	rows := machine(5*fileRows, 5000)
	dir := write(b, rows, fileRows)
	if _, err := Seal(dir); err != nil {
		b.Fatal(err)
	}
	for _, q := range []query.Query{{Group: "ci", By: []string{"command", "user"}}, {By: []string{"command"}}, {Command: "python3", User: "user1003", Sort: "cpu"}, {Format: "csv"}} {
		b.Run(fmt.Sprintf("%s%s/%s", strings.Join(q.By, ","), q.Sort, q.Format), func(b *testing.B) {
			var before, after syscall.Rusage
			syscall.Getrusage(syscall.RUSAGE_SELF, &before)
			n := uint64(0)
			for b.Loop() {
				x := Scanner{Dir: dir, Damage: func(err error) { b.Error(err) }}
				var out bytes.Buffer
				if err := x.Run(&q, &out); err != nil {
					b.Fatal(err)
				}
				n += x.rows
			}
			syscall.Getrusage(syscall.RUSAGE_SELF, &after)
			cpu := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
			b.ReportMetric(float64(n)/cpu.Seconds(), "rows/cpu-s")
		})
	}
}
