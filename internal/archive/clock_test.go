// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/internal/journal"
	"elsa/internal/query"
	"elsa/pkg/usage"
)

// TestClockSetBack: the clock is set back by three days, and right again an hour later.
// Rows of each time are found under the time that the clock showed, in the journal, in the
// files, and while half of it is sealed; a tree that lived over it holds together; nothing
// is told to be damaged, and nothing removed.
func TestClockSetBack(t *testing.T) {
	right := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	back := right.Add(10*time.Minute).AddDate(0, 0, -3)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, journal.Subdir), 0o700); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(journal.Options{Dir: filepath.Join(dir, journal.Subdir), Source: testSource, Host: "node1", MaxAge: time.Hour, MaxBytes: 1 << 30}, journal.Position{}, 1, right)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	const root = 50
	began, seq := right.Add(-time.Minute), uint64(0)
	ends := func(pid int32, command string, start, end time.Time, lived time.Duration) {
		seq++
		r := journal.Row{Seq: seq, PID: pid, PPID: root, ParentStart: began.UnixNano(), Start: start.UnixNano(), End: end.UnixNano(), Groups: testGroups[0], UID: 1000, User: "u", Exited: true, Precision: journal.Exact}
		if pid == root {
			r.PPID, r.ParentStart = 1, 0
		}
		r.Measure[usage.Elapsed] = uint64(lived)
		copy(r.Comm[:], command)
		j.Row(&r)
		j.Settled(seq)
	}
	clocks := []struct {
		name string
		at   time.Time
	}{{"before", right}, {"back", back}, {"after", right.Add(70 * time.Minute)}}
	for i, c := range clocks {
		for k := range 20 {
			at := c.at.Add(time.Duration(k) * time.Second)
			ends(int32(100+100*i+k), c.name, at.Add(-time.Second/2), at, time.Second/2)
		}
		if i == 1 { // it began before the clock was set back
			ends(300, "over", began, back.Add(time.Minute), 12*time.Minute)
		}
		j.Flush(c.at.Add(time.Minute))
		j.Committed()
	}
	ends(root, "root", began, right.Add(80*time.Minute), 81*time.Minute)
	j.Flush(right.Add(80 * time.Minute))
	j.Committed()
	count := func(q query.Query) map[string]int {
		t.Helper()
		q.Format = "json"
		var rows []struct{ Command string }
		if err := json.Unmarshal(ask(t, dir, q, nil), &rows); err != nil {
			t.Fatal(err)
		}
		n := map[string]int{}
		for _, r := range rows {
			n[r.Command]++
		}
		return n
	}
	all := map[string]int{"before": 20, "back": 20, "after": 20, "over": 1, "root": 1}
	check := func(when string) {
		t.Helper()
		for what, tt := range map[string]struct {
			q    query.Query
			want map[string]int
		}{
			"all":                    {query.Query{}, all},
			"three days back":        {query.Query{Since: back.Add(-time.Hour), Until: back.Add(time.Hour)}, map[string]int{"back": 20, "over": 1}},
			"since":                  {query.Query{Since: right}, map[string]int{"before": 20, "after": 20, "root": 1}},
			"in between":             {query.Query{Since: back.Add(2 * time.Hour), Until: right}, map[string]int{}},
			"the tree":               {query.Query{Tree: fmt.Sprint(root)}, all},
			"the tree, by its start": {query.Query{Tree: fmt.Sprintf("%d@%d", root, began.UnixNano())}, all},
		} {
			if diff := cmp.Diff(tt.want, count(tt.q)); diff != "" {
				t.Errorf("%s, %s: %s", when, what, diff)
			}
		}
		var events struct {
			TraceEvents []struct {
				Name string
				Ph   string
				Dur  float64
			}
		}
		if err := json.Unmarshal(ask(t, dir, query.Query{Format: "trace", Command: "over"}, nil), &events); err != nil {
			t.Fatal(err)
		}
		lived := []float64{}
		for _, e := range events.TraceEvents {
			if e.Ph == "X" {
				lived = append(lived, e.Dur)
			}
		}
		if want := []float64{float64(12 * time.Minute / time.Microsecond)}; !slices.Equal(lived, want) {
			t.Errorf("%s, who lived over it is drawn for %v µs, want %v", when, lived, want)
		}
	}
	check("in the journal")
	done, err := Seal(dir)
	if err != nil || len(done.Damage) > 0 || done.Segments == 0 {
		t.Fatalf("%+v %v", done, err)
	}
	check("sealed")
	files, err := Files(dir)
	if err != nil {
		t.Fatal(err)
	}
	var days []string
	for _, f := range files {
		days = append(days, f.Day)
	}
	if days = slices.Compact(days); !slices.Equal(days, []string{"2026-11-25", "2026-11-28"}) {
		t.Errorf("files of %v", days)
	}
	for _, now := range []time.Time{back, right} {
		if removed, err := Prune(dir, 7, 1<<30, now); err != nil || len(removed) > 0 {
			t.Errorf("%v are removed: %v", removed, err)
		}
	}
	check("pruned")
}
