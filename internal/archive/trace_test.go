// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"elsa/internal/journal"
	"elsa/internal/query"
	"elsa/pkg/usage"
	"elsa/test/traceevent"
)

func traceOf(t testing.TB, dir string, q query.Query) *traceevent.Trace {
	t.Helper()
	q.Format = "trace"
	text := ask(t, dir, q, nil)
	got, err := traceevent.Check(text)
	if err != nil {
		t.Fatalf("%v\n%.3000s", err, text)
	}
	return got
}

// TestModelTrace: whatever rows there are, the trace keeps the format's rules and has
// each row once, with its bill.
func TestModelTrace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(t, "rows")
		spans := make([]span, n)
		for i := range spans {
			some := func(name string, most int) int64 { return int64(rapid.IntRange(0, most).Draw(t, name)) }
			s := &spans[i]
			*s = span{seq: uint64(i), pid: int32(some("pid", 20)), ppid: int32(some("ppid", 20)), part: uint32(some("part", 5) / 5), command: "x"}
			s.started = some("start", 100) * int64(300*time.Millisecond)
			s.ended = s.started + some("life", 10)*some("long", 10)*int64(100*time.Millisecond)
			s.cpuUser = some("cpu", 1000)
			if some("known", 3) > 0 {
				s.parentStarted = some("parent", 100) * int64(300*time.Millisecond)
			}
		}
		p := layOut(spans)
		for i := range p.spans {
			a := &p.spans[i]
			if a.parent >= int32(i) || a.parent >= 0 && p.spans[a.parent].family != a.family || p.tracks[a.track].family != a.family {
				t.Fatalf("%+v", a)
			}
			for k := range p.spans[:i] {
				b := &p.spans[k]
				if b.track != a.track || a.started >= b.ended || b.started >= a.ended && a.ended > a.started {
					continue
				}
				descends := a.parent
				for descends >= 0 && descends != int32(k) {
					descends = p.spans[descends].parent
				}
				if descends < 0 || a.started <= b.started || a.ended > b.ended {
					t.Fatalf("on track %d\n%+v is in\n%+v", a.track, a, b)
				}
			}
		}
		live := 0
		for _, e := range p.live() {
			if live += e.more; live < 0 {
				t.Fatal("fewer than none live")
			}
		}
		var want, got int64
		for i := range p.spans {
			want += p.spans[i].cpuUser
		}
		_, user, _ := p.cpu()
		for _, u := range user {
			got += u
		}
		if live != 0 || got != want || len(user) > maxSteps+1 {
			t.Fatalf("%d live in the end, CPU %d, want %d, in %d steps", live, got, want, len(user))
		}
	})
}

// TestTrace draws a build: compilers at a time on tracks beside each other, each with what
// it started in it, a daemon that outlived the build on a track of its own.
func TestTrace(t *testing.T) {
	at := func(ms int) int64 { return start.Add(time.Duration(ms) * time.Millisecond).UnixNano() }
	began := map[int32]int{100: 0}
	seq := uint64(0)
	row := func(comm string, pid, ppid int32, from, to int) journal.Row {
		seq++
		began[pid] = from
		r := journal.Row{Seq: seq, PID: pid, PPID: ppid, Start: at(from), End: at(to), Groups: testGroups[1], Exited: true}
		if ms, ok := began[ppid]; ok {
			r.ParentStart = at(ms)
		}
		copy(r.Comm[:], comm)
		r.Measure[usage.User] = uint64(to-from) * 1e6 / 2
		return r
	}
	rows := []journal.Row{
		row("cc", 101, 100, 10, 50), row("cc", 102, 100, 12, 40), row("as", 103, 102, 20, 30), row("cc", 104, 100, 45, 90),
		row("server", 105, 101, 30, 500), row("make", 100, 7, 0, 100),
	}
	dir := write(t, rows, 4)
	got := traceOf(t, dir, query.Query{Group: "build/17"})
	tracks := map[string]string{}
	for _, e := range got.Events {
		if e.Ph == "M" && e.Name == "thread_name" {
			tracks[fmt.Sprint(e.TID)] = e.Args["name"].(string)
		}
	}
	var lines []string
	for _, e := range got.Events {
		if e.Ph == "X" {
			lines = append(lines, fmt.Sprintf("%s %v on %s: %s+%s cpu %v", e.Name, e.Args["pid"], tracks[fmt.Sprint(e.TID)], e.TS, e.Dur, e.Args["cpu_user_ns"]))
		}
	}
	want := `cc 101 on make 100: 10000.000+40000.000 cpu 2e+07
cc 102 on cc 102: 12000.000+28000.000 cpu 1.4e+07
as 103 on cc 102: 20000.000+10000.000 cpu 5e+06
cc 104 on cc 102: 45000.000+45000.000 cpu 2.25e+07
server 105 on server 105: 30000.000+470000.000 cpu 2.35e+08
make 100 on make 100: 0.000+100000.000 cpu 5e+07
make 100 on make 100: 0.000+100000.000 cpu 5e+07`
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if n := got.Other["drawn"]; n != "7" || got.Other["left_out"] != "0" {
		t.Errorf("%v", got.Other)
	}
	if empty := traceOf(t, dir, query.Query{Group: "none"}); len(empty.Events) != 2 || empty.Other["rows"] != "0" {
		t.Errorf("of nothing: %+v", empty)
	}
}

// TestTraceBound: where there are too many, those that lived longest are drawn, or those
// that are the most, and the rest is counted.
func TestTraceBound(t *testing.T) {
	rows := machine(3000, 100)
	dir := halfSealed(t, rows, 700)
	for _, q := range []query.Query{{Top: 50}, {Top: 50, Sort: "cpu"}, {}} {
		got := traceOf(t, dir, q)
		n, cpu := 0, uint64(0)
		least, all := math.Inf(1), uint64(0)
		for _, e := range got.Events {
			if e.Ph == "X" {
				n++
				cpu += uint64(e.Args["cpu_user_ns"].(float64) + e.Args["cpu_system_ns"].(float64))
				least = min(least, map[bool]float64{true: e.Args["cpu_user_ns"].(float64) + e.Args["cpu_system_ns"].(float64), false: e.Args["elapsed_ns"].(float64)}[q.Sort == "cpu"])
			}
		}
		more := 0
		for _, r := range append(rows, rows[len(rows)-1]) {
			all += uint64(r.Measure.CPU())
			if q.Sort == "cpu" && float64(r.Measure.CPU()) > least || q.Sort == "" && float64(r.End-r.Start) > least {
				more++
			}
		}
		want := q.Top
		if want == 0 {
			want = len(rows) + 1
		}
		if n != want || got.Other["drawn"] != fmt.Sprint(n) || got.Other["left_out"] != fmt.Sprint(len(rows)+1-n) || got.Other["left_out_cpu_ns"] != fmt.Sprint(all-cpu) || more >= want {
			t.Errorf("%+v: %d drawn, %d are more than the least: %v, CPU %d of %d", q, n, more, got.Other, cpu, all)
		}
	}
}
