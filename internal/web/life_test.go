// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	ask "elsa/internal/query"
	"elsa/pkg/groups"
)

// build is a life of a second: two compilers beside each other under make, and many
// short ones in a band.
func build(since time.Time) *ask.Life {
	at := func(ms int) int64 { return since.Add(time.Duration(ms) * time.Millisecond).UnixNano() }
	l := &ask.Life{
		Since: at(0), Until: at(1000), Through: at(5000), Processes: 203, CPU: 1_300_000_000, Step: 250e6, Live: []float64{1, 3, 2.5, 1}, CPUs: []float64{0.5, 2, 1.5, 0}, Rows: 3,
		Spans: []ask.Span{
			{Started: at(-5000), Ended: at(1000), CPU: 10_000_000, PID: 10, Row: 0, Command: "make"},
			{Started: at(250), Ended: at(750), CPU: 500_000_000, PID: 11, Row: 1, Command: "cc1<b>"},
			{Started: at(250), Ended: at(500), CPU: 125_000_000, PID: 12, Row: 2, Command: "cc1<b>", Part: true},
		},
		Bands:        []ask.Band{{Command: "sh", Processes: 200, CPU: 90_000_000, Live: []float64{0, 1, 0.5, 0}}, {Live: []float64{0, 0, 0, 0.25}}},
		Commands:     []ask.Command{{Command: "cc1<b>", Processes: 2, CPU: 625_000_000, Elapsed: 750_000_000, MaxRSS: 3 << 20}, {Command: "sh\x1b"}},
		MoreCommands: 7,
		Costliest:    []ask.Process{{PID: 11, User: "ana", Command: "cc1<b>", Started: at(250), Elapsed: 500_000_000, CPU: 500_000_000, MaxRSS: 3 << 20, Status: 9}},
	}
	return l
}

// The page of an hour has the picture, the costliest and the commands of exactly the time
// that was asked for, of the group that was asked for.
func TestLifePage(t *testing.T) {
	p, s := restarted(true)
	hour := s.Time.Truncate(time.Hour)
	var asked []ask.Query
	l := build(hour)
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	var fails error
	p.opts.Life = func(_ context.Context, q *ask.Query) (*ask.Life, error) {
		asked = append(asked, *q)
		return l, fails
	}
	last := func() string {
		q := asked[len(asked)-1]
		return fmt.Sprint(q.Group, " ", q.Since.Sub(hour), " ", q.Until.Sub(hour))
	}
	if _, body := fetch(t, p, "/group?name=beta"); !strings.Contains(body, `<a href="/life?name=beta">`) {
		t.Error("the page of a group does not lead to its processes")
	}
	code, body := fetch(t, p, "/life?name=beta")
	if code != 200 || last() != "beta 0s 1h0m0s" {
		t.Errorf("status %d, asked for %s", code, last())
	}
	for _, want := range []string{
		"203 processes in 1.00 s: 3 drawn one by one in 3 lanes, 2 bands of all others; up to 2.00 CPUs", "<title>cc1&lt;b&gt; 11: 500.0 ms, CPU 500.0 ms</title>", "250.0 ms, CPU 125.0 ms, up to a change of groups or the end of an hour",
		">all others<", "200, 0.09 s CPU", "and 7 more", ">ana<", ">signal 9<", "sh\uFFFD", ">3.0 MiB<", ">400.0 ms<", "It is of processes that ended up to",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	// make began before and is cut, its busy part too; a compiler is half of the width, busy all along.
	boxes := regexp.MustCompile(`<rect class="(\w+)" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"`).FindAllStringSubmatch(body, -1)
	if len(boxes) != 6 {
		t.Fatalf("%d boxes", len(boxes))
	}
	for i, want := range []struct{ x, w float64 }{{lanesLeft, lanesWide}, {lanesLeft, lanesWide / 600}, {lanesLeft + lanesWide/4, lanesWide / 2}, {lanesLeft + lanesWide/4, lanesWide / 2}, {lanesLeft + lanesWide/4, lanesWide / 4}, {lanesLeft + lanesWide/4, lanesWide / 8}} {
		x, _ := strconv.ParseFloat(boxes[i][2], 64)
		w, _ := strconv.ParseFloat(boxes[i][3], 64)
		if x-want.x > 0.1 || want.x-x > 0.1 || w-want.w > 0.1 || want.w-w > 0.1 {
			t.Errorf("box %d is at %v, %v wide; want %v", i, x, w, want)
		}
	}
	// Links lead to the hours beside, and to parts of it.
	link := func(text string) string {
		m := regexp.MustCompile(`<a href="([^"]*)">(?:<text[^>]*>)?` + text).FindStringSubmatch(body)
		if m == nil {
			t.Fatalf("no link %s", text)
		}
		return strings.ReplaceAll(m[1], "&amp;", "&")
	}
	for text, want := range map[string]string{"Hour before": "beta -1h0m0s 0s", "Hour after": "beta 1h0m0s 2h0m0s", "closer": "beta 0s 200ms"} {
		if fetch(t, p, link(text)); last() != want {
			t.Errorf("%s asks for %s, want %s", text, last(), want)
		}
	}
	if _, body = fetch(t, p, link("closer")); link("The whole hour") == "" {
		t.Error("no way back")
	}
	if fetch(t, p, link("The whole hour")); last() != "beta 0s 1h0m0s" {
		t.Errorf("the whole hour asks for %s", last())
	}
	if fetch(t, p, "/life?name=beta&hour="+url.QueryEscape(hour.Add(-3*time.Hour).Format(hourLayout))); last() != "beta -3h0m0s -2h0m0s" {
		t.Errorf("the form asks for %s", last())
	}

	l.Damage, l.Owner = []string{"read archive file <x>: malformed"}, new(uint32(1000))
	if _, body := fetch(t, p, "/life?name=beta"); !strings.Contains(body, "read archive file &lt;x&gt;: malformed") || !strings.Contains(body, "Only processes of user ana are shown") {
		t.Errorf("what is missing is not said:\n%s", body)
	}
	l = &ask.Life{Oldest: "2026-11-22"}
	if _, body := fetch(t, p, "/life?name=beta"); !strings.Contains(body, "No process of the group lived then and has ended. The archive begins with 2026-11-22.") {
		t.Errorf("of nothing:\n%s", body)
	}
	fails = errors.New("no <socket>")
	if code, body := fetch(t, p, "/life?name=beta"); code != 503 || !strings.Contains(body, "The archive cannot be read: no &lt;socket&gt;") {
		t.Errorf("status %d:\n%s", code, body)
	}
}

// Nobody sees processes where commands are not shown, and nothing is asked of the archive
// that makes no sense.
func TestLifeRefused(t *testing.T) {
	never := func(context.Context, *ask.Query) (*ask.Life, error) {
		t.Error("the archive is asked")
		return nil, errors.New("")
	}
	p, _ := restarted(false)
	p.opts.Life = never
	if code, _ := fetch(t, p, "/life?name=beta"); code != 403 {
		t.Errorf("without members: %d", code)
	}
	if _, body := fetch(t, p, "/group?name=beta"); strings.Contains(body, "/life") {
		t.Error("the page leads where nothing is shown")
	}
	p, _ = restarted(true)
	if code, _ := fetch(t, p, "/life?name=beta"); code != 404 {
		t.Errorf("without an archive: %d", code)
	}
	p.opts.Life = never
	for path, want := range map[string]int{
		"/life?name=none": 404, "/life?name=beta&hour=soon": 400, "/life?name=beta&from=2026-01-01T00:00:00Z": 400, "/life?name=beta&from=2026-01-01T00:00:00Z&until=2026-01-01T00:00:00Z": 400,
		"/life?name=beta&from=2026-01-01T00:00:00Z&until=2026-01-01T01:00:00.1Z": 400, "/life?name=beta&from=0001-01-01T00:00:00Z&until=0001-01-01T01:00:00Z": 400,
	} {
		if code, _ := fetch(t, p, path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
}

// A group that was closed is shown as it was then.
func TestWindowOfClosed(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 34, 56, 0, time.UTC)
	from, until, err := window(url.Values{}, &groups.Group{Closed: now.Add(-26 * time.Hour)}, now)
	if err != nil || !from.Equal(now.Add(-26*time.Hour).Truncate(time.Hour)) || until.Sub(from) != time.Hour {
		t.Errorf("%v to %v (%v)", from, until, err)
	}
}
