// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/internal/history"
	"elsa/pkg/usage"
)

// cells is a history of some cells.
type cells []struct {
	key history.Key
	cpu time.Duration
}

func (c cells) read(_ context.Context, first uint32, f func(*history.Key, *usage.Usage) error) error {
	for i := range c {
		if c[i].key.Hour < first {
			continue
		}
		u := usage.Usage{usage.User: uint64(c[i].cpu), usage.Ended: 2, usage.ReadBytes: 4096}
		if err := f(&c[i].key, &u); err != nil {
			return err
		}
	}
	return nil
}

// restarted is a page of a service that was started anew a moment ago, at half past an
// hour, and has a past in its history.
func restarted(members bool) (*Page, *usage.Snapshot) {
	now := epoch.Truncate(24 * time.Hour).Add(12*time.Hour + 30*time.Minute)
	s := at(now, used{1, "alpha", time.Hour}, used{2, "beta", time.Hour}, used{3, "gamma", 0})
	s.Groups[1].Group.Absorbed = []uint32{9}
	s.Service.Created = now.Add(-10 * 24 * time.Hour)
	hour := usage.HourOf(now.Unix())
	past := cells{
		{history.Key{Hour: hour - 24*20, UID: 1, Groups: []uint32{1}, Command: "old"}, 9 * time.Hour},
		{history.Key{Hour: hour - 24*5, UID: 1000, Groups: []uint32{1}, Command: "cc1"}, 2 * time.Hour},
		{history.Key{Hour: hour - 2, UID: 1000, Groups: []uint32{1, 2, 9}, Command: "cc1"}, 30 * time.Minute},
		{history.Key{Hour: hour - 2, UID: 1001, Groups: []uint32{9}, Command: "=ld\xff"}, 15*time.Minute + 1},
		{history.Key{Hour: hour - 1, UID: 1001, Unattributed: true, Command: "x"}, 6 * time.Minute},
		{history.Key{Hour: hour, UID: 0, Command: "cron"}, 15 * time.Minute},
	}
	o := Options{
		Snapshot: func(context.Context) *usage.Snapshot { return s }, Cells: past.read, CPUs: 4,
		User: func(uid uint32) string { return map[uint32]string{1000: "ana", 1001: "ben"}[uid] },
	}
	if members {
		o.Members = func(context.Context, uint32) ([]Member, error) { return nil, nil }
	}
	return NewPage(o), s
}

// Days, weeks and months are those of the history, also after a restart; a merged
// group's past is that of the one that took it up, once.
func TestSpans(t *testing.T) {
	p, s := restarted(false)
	for _, c := range []struct {
		span                                 string
		alpha, beta, ungrouped, unattributed time.Duration
		total                                time.Duration
		bins                                 int
		known                                int
	}{
		{"day", 30 * time.Minute, 45*time.Minute + 1, 15 * time.Minute, 6 * time.Minute, 66*time.Minute + 1, 24, 24},
		{"week", 150 * time.Minute, 45*time.Minute + 1, 15 * time.Minute, 6 * time.Minute, 186*time.Minute + 1, 168, 168},
		{"month", 150*time.Minute + 9*time.Hour, 45*time.Minute + 1, 15 * time.Minute, 6 * time.Minute, 726*time.Minute + 1, 30, 11},
	} {
		sp := parseSpan(map[string][]string{"span": {c.span}})
		k, err := p.past(t.Context(), sp, s)
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range map[string]struct {
			list []float64
			want time.Duration
		}{"alpha": {k.groups[1], c.alpha}, "beta": {k.groups[2], c.beta}, "ungrouped": {k.ungrouped, c.ungrouped}, "unattributed": {k.unattributed, c.unattributed}, "total": {k.total, c.total}} {
			values, used := k.cores(v.list)
			known := 0
			for _, value := range values {
				if value == value {
					known++
				}
			}
			if c.span == "month" && (name == "alpha" || name == "total") {
				v.want -= 9 * time.Hour // before the service was there
			}
			if (used-v.want).Abs() > time.Microsecond || len(values) != c.bins || known != c.known {
				t.Errorf("%s, %s: %v in %d bins, %d of them known; want %v in %d, %d", c.span, name, used, len(values), known, v.want, c.bins, c.known)
			}
		}
	}
	// A quarter of an hour of CPU in half an hour is half a core.
	k, _ := p.past(t.Context(), spans[1], s)
	if values, _ := k.cores(k.ungrouped); values[23] != 0.5 {
		t.Errorf("this hour so far: %v cores, want 0.5", values[23])
	}
	_, body := fetch(t, p, "/?span=week&busy=1&sort=span")
	if diff := cmp.Diff([]string{"alpha", "beta"}, names(body)); diff != "" {
		t.Errorf("busy groups of the week (-want +got):\n%s", diff)
	}
	for _, want := range []string{`<strong aria-current="page">Last week</strong>`, `href="/?busy=1&amp;order=descending&amp;sort=span&amp;span=month"`, "2 h 30 min", "Show idle groups", "cores of 4", "CPU accounted for"} {
		if !strings.Contains(body, want) {
			t.Errorf("the list of the week lacks %q", want)
		}
	}
	if strings.Index(body, "not in a group") > strings.Index(body, `title="alpha"`) {
		t.Error("what is not in a group is below the groups")
	}
}

// A group's page tells users and commands apart, and so do its tables, where the
// service is asked to show them; else it tells neither.
func TestBreakdown(t *testing.T) {
	p, _ := restarted(true)
	_, body := fetch(t, p, "/group?name=beta&span=day")
	for _, want := range []string{">ana<", ">ben<", ">cc1<", ">=ld\uFFFD<", "30 min 00 s", `href="/group.csv?by=command&amp;name=beta&amp;span=day"`, "CPU over the last day"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page of a group lacks %q", want)
		}
	}
	if strings.Contains(body, "cron") || strings.Contains(body, ">old<") {
		t.Error("the page of a group has commands of others")
	}
	code, table := fetch(t, p, "/group.csv?name=beta&span=day&by=command")
	want := "group,command,processes,cpu_seconds,elapsed_seconds,max_rss_bytes,read_bytes,write_bytes\n" +
		"beta,cc1,2,1800,0,0,4096,0\nbeta,'=ld\uFFFD,2,900.000000001,0,0,4096,0\n"
	if diff := cmp.Diff(want, table); code != 200 || diff != "" {
		t.Errorf("as CSV: %d (-want +got):\n%s", code, diff)
	}

	p, _ = restarted(false)
	_, body = fetch(t, p, "/group?name=beta&span=day")
	if strings.Contains(body, "ana") || strings.Contains(body, "cc1") || strings.Contains(body, "by=user") {
		t.Error("users and commands are shown to everybody")
	}
	for path, want := range map[string]int{
		"/group.csv?name=beta&by=hour&span=week": 200, "/group.csv?name=beta&by=user": 403, "/group.csv?name=beta&by=command": 403,
		"/group.csv?name=beta&by=pid": 404, "/group.csv?name=none&by=hour": 404,
	} {
		if code, body := fetch(t, p, path); code != want || want == 200 && !strings.HasPrefix(body, "group,hour,") {
			t.Errorf("%s: %d, want %d:\n%s", path, code, want, body)
		}
	}
}

// The history is read once in a while, not for each who looks; that it cannot be read
// is said.
func TestPastIsKept(t *testing.T) {
	p, s := restarted(false)
	reads := 0
	read := p.opts.Cells
	var fail error
	p.opts.Cells = func(ctx context.Context, first uint32, f func(*history.Key, *usage.Usage) error) error {
		reads++
		if fail != nil {
			return fail
		}
		return read(ctx, first, f)
	}
	for range 10 {
		fetch(t, p, "/?span=day")
	}
	if reads != 1 {
		t.Errorf("the history was read %d times", reads)
	}
	later := *s
	later.Time = s.Time.Add(keepPast)
	p.opts.Snapshot = func(context.Context) *usage.Snapshot { return &later }
	fail = errors.New("no <disk>")
	if code, body := fetch(t, p, "/?span=day"); code != 503 || !strings.Contains(body, "cannot be read now: no &lt;disk&gt;.") {
		t.Errorf("a failure: %d\n%s", code, body)
	}
	if code, _ := fetch(t, p, "/"); code != 200 {
		t.Errorf("the last hour: %d", code)
	}
}

// Bounded: a page's tables have so many rows, the CSV has all.
func TestBreakdownIsBounded(t *testing.T) {
	p, s := restarted(true)
	hour := usage.HourOf(s.Time.Unix())
	var many cells
	for i := range 100 {
		many = append(many, cells{{history.Key{Hour: hour, UID: 5, Groups: []uint32{1}, Command: fmt.Sprint("c", i)}, time.Duration(i) * time.Second}}...)
	}
	p.opts.Cells = many.read
	_, body := fetch(t, p, "/group?name=alpha")
	if n := strings.Count(body, `<th scope="row">c`); n != maxParts || !strings.Contains(body, "and 80 more, in the CSV") {
		t.Errorf("%d commands on the page", n)
	}
	if _, table := fetch(t, p, "/group.csv?name=alpha&by=command"); strings.Count(table, "\n") != 101 {
		t.Errorf("the CSV has %d lines", strings.Count(table, "\n"))
	}
}
