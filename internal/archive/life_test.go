// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"elsa/internal/journal"
	"elsa/internal/query"
	"elsa/pkg/usage"
)

func lifeIn(t interface {
	Helper()
	Fatal(...any)
}, dir string, q query.Query, owner *uint32) *query.Life {
	t.Helper()
	if err := q.CheckLife(); err != nil {
		t.Fatal(err)
	}
	x := Scanner{Dir: dir, Owner: owner, Damage: func(error) { t.Fatal("damage is told elsewhere") }}
	l, err := x.Life(&q)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	if b, err := json.Marshal(l); err != nil || len(b) > query.MaxLife {
		t.Fatal(len(b), err)
	}
	return l
}

// TestModelLife: what lived in a time is what a plain loop over the rows finds, each row
// is drawn or in a band, and what a row of the picture has lies apart.
func TestModelLife(t *testing.T) {
	rows := machine(4000, 3)
	dir := halfSealed(t, rows, 900)
	rows = append(rows, rows[len(rows)-1]) // as write does
	rapid.Check(t, func(t *rapid.T) {
		since := start.Add(time.Duration(rapid.IntRange(-10, 1400).Draw(t, "since")) * time.Second)
		q := query.Query{Group: rapid.SampledFrom([]string{"ci", "build/17", "web", "none"}).Draw(t, "group"), Since: since,
			Until: since.Add(time.Duration(rapid.SampledFrom([]int{1, 10, 1000, 60_000, 3_600_000}).Draw(t, "ms")) * time.Millisecond)}
		var owner *uint32
		if rapid.Bool().Draw(t, "mine") {
			owner = new(uint32(1000))
		}
		l := lifeIn(t, dir, q, owner)
		processes, cpu, lived, used := int64(0), int64(0), 0.0, 0.0
		costliest, longest := int64(-1), int64(-1)
		for i := range rows {
			r := &rows[i]
			if !slices.Contains(r.Groups.Names, q.Group) || owner != nil && r.UID != *owner || r.End < q.Since.UnixNano() || r.Start >= q.Until.UnixNano() {
				continue
			}
			if r.Part == 0 {
				processes++
			}
			cpu += int64(r.Measure.CPU())
			costliest, longest = max(costliest, int64(r.Measure.CPU())), max(longest, r.End-r.Start)
			within := float64(max(min(r.End, l.Until)-max(r.Start, l.Since), 0))
			lived += within
			// What a row has was used in the hour of its end.
			if from := max(r.Start, (r.End-1)/int64(time.Hour)*int64(time.Hour)); r.End > from {
				within = float64(max(min(r.End, l.Until)-max(from, l.Since), 0))
				used += within * float64(r.Measure.CPU()) / float64(r.End-from)
			}
		}
		if l.Processes != processes || l.CPU != cpu {
			t.Fatalf("%d processes of %d ns, want %d of %d", l.Processes, l.CPU, processes, cpu)
		}
		sum := func(list []float64) (s float64) {
			for k, v := range list {
				s += v * float64(min(int64(k+1)*l.Step, l.Until-l.Since)-int64(k)*l.Step)
			}
			return s
		}
		slack := 1e-4 * float64(l.Until-l.Since)
		if got := sum(l.Live); math.Abs(got-lived) > slack {
			t.Fatalf("%v ns lived, want %v", got, lived)
		}
		if got := sum(l.CPUs); math.Abs(got-used) > slack {
			t.Fatalf("%v ns of CPU, want %v", got, used)
		}
		last, banded := map[int]int64{}, 0.0
		for _, b := range l.Bands {
			processes, cpu, banded = processes-b.Processes, cpu-b.CPU, banded+sum(b.Live)
		}
		for _, s := range l.Spans {
			if s.Started < last[s.Row] {
				t.Fatalf("row %d: one begins before the other ends: %+v", s.Row, s)
			}
			last[s.Row] = s.Ended
			cpu -= s.CPU
			if !s.Part {
				processes--
			}
			if s.CPU == costliest {
				costliest = -1
			}
			if s.Ended-s.Started == longest {
				longest = -1
			}
			banded += float64(max(min(s.Ended, l.Until)-max(s.Started, l.Since), 0))
		}
		if processes != 0 || cpu != 0 || costliest != -1 || longest != -1 {
			t.Fatalf("neither drawn nor in a band: %d processes, %d ns; the costliest of %d ns, the longest of %d", processes, cpu, costliest, longest)
		}
		if math.Abs(banded-lived) > slack*float64(1+len(l.Bands)) {
			t.Fatalf("drawn and in bands %v ns, want %v", banded, lived)
		}
	})
}

// TestLife: a process that changed groups counts once among the living, and a child is
// in the row under its parent, if there is room.
func TestLife(t *testing.T) {
	at := func(ms int) int64 { return start.Add(time.Duration(ms) * time.Millisecond).UnixNano() }
	seq := uint64(0)
	row := func(comm string, pid, ppid int32, parent, from, to int, part uint32) journal.Row {
		seq++
		r := journal.Row{Seq: seq, PID: pid, PPID: ppid, Start: at(from), End: at(to), ParentStart: at(parent), Part: part, Exited: part == 0, Status: 256, Groups: testGroups[1]}
		copy(r.Comm[:], comm)
		r.Measure[usage.User] = uint64(to-from) * 1e6 / 2
		return r
	}
	dir := write(t, []journal.Row{
		row("make", 100, 7, 0, 0, 50, 1), row("cc", 101, 100, 0, 10, 50, 0), row("cc", 102, 100, 0, 20, 60, 0), row("make", 100, 7, 0, 0, 100, 0),
		row("server", 103, 100, 0, 30, 5000, 0),
	}, 4)
	l := lifeIn(t, dir, query.Query{Group: "ci", Since: start, Until: start.Add(100 * time.Millisecond)}, nil)
	var lines []string
	for _, s := range l.Spans {
		lines = append(lines, fmt.Sprintf("%d %s %d-%d %v", s.Row, s.Command, (s.Started-at(0))/1e6, (s.Ended-at(0))/1e6, s.Part))
	}
	// The last row is there twice.
	want := []string{"0 make 0-100 false", "1 cc 10-50 false", "2 cc 20-60 false", "3 server 30-5000 false", "4 server 30-5000 false"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if l.Processes != 4+1 || l.Until-l.Since != 100e6 || len(l.Bands) != 0 {
		t.Errorf("%+v", l)
	}
	if got := l.Spans[0].CPU; got != 75e6 {
		t.Errorf("make used %d ns, its part included", got)
	}
	at55 := l.Live[55e6/l.Step]
	if at55 != 4 { // make once, cc 102, both servers
		t.Errorf("%v lived at 55 ms", at55)
	}
	if diff := cmp.Diff(query.Command{Command: "server", Processes: 2, CPU: 2 * 2485e6, MaxRSS: 0}, l.Commands[0]); diff != "" {
		t.Error(diff)
	}
	if c := l.Costliest[0]; c.Command != "server" || c.Elapsed != 4970e6 || c.Status != 256 {
		t.Errorf("%+v", c)
	}
	if late := lifeIn(t, dir, query.Query{Group: "ci", Since: start.Add(-25 * time.Hour), Until: start.Add(-24 * time.Hour)}, nil); late.Processes != 0 {
		t.Errorf("%+v", late)
	}
}

// TestLifeBounds: it says what it was not asked right, what it could not read, and ends
// when it is told.
func TestLifeBounds(t *testing.T) {
	for _, q := range []query.Query{
		{Group: "ci"}, {Since: start, Until: start.Add(1)}, {Group: "ci", Since: start, Until: start}, {Group: "ci", Since: start, Until: start.Add(time.Hour + 1)},
		{Group: "ci", User: "x", Since: start, Until: start.Add(1)}, {Group: "ci", Top: 1, Since: start, Until: start.Add(1)},
	} {
		if q.CheckLife() == nil {
			t.Errorf("%+v is not refused", q)
		}
	}
	dir := halfSealed(t, machine(3000, 100), 700)
	x := Scanner{Dir: dir, Stop: func() error { return errors.New("enough") }}
	q := query.Query{Group: "ci", Since: start, Until: start.Add(time.Hour)}
	if _, err := x.Life(&q); err == nil || err.Error() != "enough" {
		t.Errorf("stopped: %v", err)
	}
	l := lifeIn(t, dir, q, nil)
	for name, spoil := range map[string]func(*query.Life){
		"rows": func(l *query.Life) { l.Rows = 0 }, "live": func(l *query.Life) { l.Live = l.Live[1:] }, "step": func(l *query.Life) { l.Step = 0 },
		"many": func(l *query.Life) { l.Step = 1 }, "band": func(l *query.Life) { l.Bands = append(slices.Clone(l.Bands), query.Band{}) },
		"turned": func(l *query.Life) { l.Spans = append(slices.Clone(l.Spans), query.Span{Started: 2, Ended: 1}) },
	} {
		bad := *l
		if spoil(&bad); bad.Check() == nil {
			t.Errorf("%s is not found", name)
		}
	}
}
