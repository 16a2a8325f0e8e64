// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/internal/fill"
	"elsa/internal/query"
	"elsa/pkg/client"
	"elsa/pkg/usage"
)

// askFill returns the requests that fill a group, and what they come to.
func askFill(t *testing.T, dir string, q query.Query, group string, st *client.FillState) (requests []client.FillRequest, done query.FillDone) {
	t.Helper()
	for _, f := range usage.Stored {
		st.Columns = append(st.Columns, f.Info().Column())
	}
	var out bytes.Buffer
	x := Scanner{Dir: dir, Damage: func(err error) { t.Error(err) }}
	if err := x.Fill(&q, group, st, &out); err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(&out); d.More(); {
		var line query.FillLine
		if err := d.Decode(&line); err != nil {
			t.Fatal(err)
		}
		if line.Done != nil {
			done = *line.Done
		} else {
			requests = append(requests, *line.Fill)
		}
	}
	return requests, done
}

// The requests hold each row that the group does not have, once, by the groups that it is
// in now: by the names of then and by what these took.
func TestFill(t *testing.T) {
	rows := machine(4000, 1)
	dir := halfSealed(t, rows, 900)
	source := uuid(testSource)
	st := &client.FillState{Next: 3990, Groups: []client.FillGroup{
		{ID: 1, Name: "all", Named: []client.RowName{{Name: "all", First: 1}}, Taken: []client.FillRows{
			{Source: source, Rows: fill.Encode([]fill.Run{{First: 5, Last: 9}, {First: 1000, Last: 1999}})},
			{Source: "another", Rows: fill.Encode([]fill.Run{{First: 1, Last: 4000}})},
		}},
		{ID: 2, Name: "new", Named: []client.RowName{{Name: "new", First: 3000}, {Name: "ci", First: 1, Before: 3000}}},
		{ID: 3, Name: "ci", Named: []client.RowName{{Name: "ci", First: 3000}}},
		{ID: 4, Name: "other", Named: []client.RowName{{Name: "other", First: 1}}, Taken: []client.FillRows{
			{Source: source, Rows: fill.Encode([]fill.Run{{First: 100, Last: 200}})},
		}},
	}}
	type key struct {
		hour    int64
		uid     uint32
		command string
		groups  string
	}
	want, sum, numbers, had := map[key]usage.Usage{}, usage.Usage{}, map[uint64]bool{}, uint64(0)
	for i := range rows {
		r := &rows[i]
		if r.Seq >= 5 && r.Seq <= 9 || r.Seq >= 1000 && r.Seq <= 1999 {
			had++
			continue
		}
		if r.Seq >= 3990 {
			continue
		}
		var ids []uint32
		if slices.Contains(r.Groups.Names, "ci") {
			ids = append(ids, map[bool]uint32{true: 2, false: 3}[r.Seq < 3000])
		}
		if r.Seq >= 100 && r.Seq <= 200 {
			ids = append(ids, 4)
		}
		var u usage.Usage
		copy(u[:], r.Measure[:])
		if r.Part == 0 {
			u[usage.Ended], u[usage.Exact] = 1, 1
			if r.Status == 9 {
				u[usage.ExitSignal] = 1
			} else if r.Status != 0 {
				u[usage.ExitNonzero] = 1
			}
		}
		k := key{r.End / int64(time.Hour), r.UID, commandName(r.Comm), fmt.Sprint(ids)}
		cell := want[k]
		cell.Add(&u)
		want[k] = cell
		sum.Add(&u)
		numbers[r.Seq] = true
	}
	requests, done := askFill(t, dir, query.Query{}, "all", st)
	got := map[key]usage.Usage{}
	for _, r := range requests {
		for _, c := range r.Cells {
			var u usage.Usage
			for i, f := range usage.Stored {
				u[f] = c.Figures[i]
			}
			k := key{c.Hour.Unix() / 3600, c.UID, c.Command, fmt.Sprint(c.Groups)}
			cell := got[k]
			cell.Add(&u)
			got[k] = cell
		}
		for _, of := range r.Rows {
			if of.Source != source {
				t.Errorf("rows of source %s", of.Source)
			}
			runs, err := fill.Decode(of.Rows)
			if err != nil {
				t.Fatal(err)
			}
			for _, run := range runs {
				for n := run.First; n <= run.Last; n++ {
					if !numbers[n] {
						t.Fatalf("row %d is taken, or twice", n)
					}
					delete(numbers, n)
				}
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(numbers) > 0 {
		t.Errorf("%d rows are missing; cells (-want +got):\n%s", len(numbers), diff)
	}
	if done.Had != had || done.Rows != 4000-had-11 || done.Late != 12 || done.Matched != 4001 || !slices.Equal(done.Figures, figuresOf(&sum)) {
		t.Errorf("in all %+v; it had %d", done, had)
	}
	if !done.Complete || !done.CompleteSince.Equal(time.Unix(0, rows[0].End)) {
		t.Errorf("complete since %v, %v; the first ended at %v", done.CompleteSince, done.Complete, time.Unix(0, rows[0].End))
	}
}

// What may yet be fixed is left out, so that a group never has a figure that its row has
// not.
func TestFillUnsettled(t *testing.T) {
	dir := halfSealed(t, machine(100, 1), 40)
	_, done := askFill(t, dir, query.Query{}, "all", &client.FillState{Unsettled: fill.Encode(fill.RunsOf([]uint64{7, 60, 61, 99}))})
	if done.Unsettled != 4 || done.Rows != 97 {
		t.Errorf("%+v; 4 of 101 rows are not settled", done)
	}
}

// The archive is complete from where its first file begins, and not before the end of a
// day of which something is missing.
func TestSince(t *testing.T) {
	rows := machine(9000, 2) // an hour before midnight, and the first of the next day
	since := func(dir string) (time.Time, bool) {
		t.Helper()
		x := Scanner{Dir: dir, Damage: func(error) {}}
		if err := x.Run(&query.Query{By: []string{"day"}}, &bytes.Buffer{}); err != nil {
			t.Fatal(err)
		}
		at, ok, err := x.Since()
		if err != nil {
			t.Fatal(err)
		}
		return at, ok
	}
	sealed := func() (dir string, files []File) {
		t.Helper()
		dir = write(t, rows, 1000)
		if _, err := Seal(dir); err != nil {
			t.Fatal(err)
		}
		files, err := Files(dir)
		if err != nil || len(files) < 5 {
			t.Fatalf("%d files: %v", len(files), err)
		}
		return dir, files
	}
	dir, _ := sealed()
	if at, ok := since(dir); !ok || !at.Equal(time.Unix(0, rows[0].End)) {
		t.Errorf("of the whole journal since %v, %v", at, ok)
	}
	if _, err := Prune(dir, 0, 1<<40, start.AddDate(0, 0, 1)); err != nil {
		t.Fatal(err)
	}
	if at, ok := since(dir); !ok || at.Before(start.Add(time.Hour)) || at.After(start.Add(61*time.Minute)) {
		t.Errorf("after the first day was removed, since %v, %v", at, ok)
	}
	dir, files := sealed()
	if err := os.Remove(files[2].Path); err != nil {
		t.Fatal(err)
	}
	if at, ok := since(dir); !ok || !at.Equal(start.Add(time.Hour)) {
		t.Errorf("with a file of the first day gone, since %v, %v", at, ok)
	}
	dir, files = sealed()
	if err := os.WriteFile(files[0].Path, []byte("no Parquet"), 0o600); err != nil {
		t.Fatal(err)
	}
	if at, ok := since(dir); ok {
		t.Errorf("with the first file damaged, since %v", at)
	}
	if at, ok := since(t.TempDir()); ok {
		t.Errorf("of nothing, since %v", at)
	}
}

// What a process forked that still lives, and so has no row, belongs to the tree of its
// parent.
func TestFillLiving(t *testing.T) {
	rows := machine(100, 1)
	at := rows[0].Start
	tree := func(i int, pid, ppid int32, started, parent int64) {
		r := &rows[i]
		r.PID, r.PPID, r.Start, r.ParentStart = pid, ppid, started, parent
	}
	tree(20, 100, 1, at, 0)
	tree(30, 300, 200, at+3e9, at+2e9) // of a living one
	tree(40, 301, 200, at+4e9, 0)      // and it is not known when that began
	tree(50, 400, 300, at+5e9, at+3e9)
	dir := halfSealed(t, rows, 40)
	q := query.Query{Tree: fmt.Sprintf("100@%d", at)}
	if _, done := askFill(t, dir, q, "x", &client.FillState{}); done.Rows != 1 {
		t.Errorf("without the living it takes %d rows, want 1", done.Rows)
	}
	st := &client.FillState{Living: []client.Process{{PID: 200, Started: time.Unix(0, at+2e9)}}}
	if _, done := askFill(t, dir, q, "x", st); done.Rows != 4 {
		t.Errorf("it takes %d rows, want 4", done.Rows)
	}
}
