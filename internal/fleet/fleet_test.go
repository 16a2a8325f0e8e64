// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/internal/cells"
	"elsa/internal/query"
	"elsa/internal/ship"
	"elsa/pkg/usage"
)

// fleet is hosts that deliver to a sink, without faults.
type fleet struct {
	t     *testing.T
	clock *clock
	sink  ship.Sink
	ship  map[*node]*ship.Shipper
}

func newFleet(t *testing.T) *fleet {
	return &fleet{t, &clock{time.Date(2026, 3, 4, 12, 5, 0, 0, time.UTC)}, newMemory(), map[*node]*ship.Shipper{}}
}

// join makes a host deliver from a spool.
func (f *fleet) join(n *node, spool string, bounds ship.Bounds) *node {
	f.t.Helper()
	s, err := ship.New(ship.Options{Place: ship.Files{Sink: f.sink}, Cells: n, Spool: spool, Bounds: bounds, Again: time.Hour, Now: func() time.Time { return f.clock.now }})
	if err != nil {
		f.t.Fatal(err)
	}
	f.ship[n] = s
	return n
}

var wide = ship.Bounds{Bytes: 1 << 30, Hours: 200}

func (f *fleet) round(n *node) (ship.Round, error) {
	f.clock.now = f.clock.now.Add(time.Second)
	return f.ship[n].Round(f.t.Context())
}

func (f *fleet) deliver(nodes ...*node) {
	f.t.Helper()
	for _, n := range nodes {
		if _, err := f.round(n); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *fleet) report(q query.Fleet) *query.FleetReport {
	f.t.Helper()
	if err := q.Check(); err != nil {
		f.t.Fatal(err)
	}
	r := Reader{Sink: f.sink, Now: func() time.Time { return f.clock.now }, Damage: func(err error) { f.t.Log(err) }}
	out, err := r.Report(f.t.Context(), &q)
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

func spent(user uint64) *usage.Usage {
	return &usage.Usage{usage.Ended: 1, usage.User: user, usage.Exact: 1}
}

func (f *fleet) hour(ago uint32) uint32 { return usage.HourOf(f.clock.now.Unix()) - ago }

func kitchen(t time.Time) string { return t.UTC().Format("15:04") }

// TestReport: rows by what is asked for, of the groups that are asked for, over hosts.
func TestReport(t *testing.T) {
	f := newFleet(t)
	a, b := f.join(newNode(f.clock, 1), t.TempDir(), wide), f.join(newNode(f.clock, 2), t.TempDir(), wide)
	a.bill(f.hour(2), key{1, 1000, "make"}, spent(1e9))
	a.bill(f.hour(1), key{2, 0, "sh"}, spent(2e9))
	a.bill(f.hour(1), key{0, 0, "cron"}, spent(4e9))
	b.bill(f.hour(1), key{1, 1000, "make"}, spent(8e9))
	b.bill(f.hour(0), key{3, 5, "nginx"}, spent(16e9))
	f.deliver(a, b)
	rows := func(q query.Fleet) string {
		r := f.report(q)
		s := ""
		for _, w := range r.Rows {
			hour := ""
			if !w.Hour.IsZero() {
				hour = kitchen(w.Hour)
			}
			s += fmt.Sprintf("%s%s%s%s%s %g; ", w.Group, w.Command, w.User, w.Host, hour, w.CPUUserSeconds)
		}
		return s + fmt.Sprintf("%g of which %g", r.Total.CPUUserSeconds, r.Ungrouped.CPUUserSeconds)
	}
	for _, tt := range []struct {
		q    query.Fleet
		want string
	}{
		{query.Fleet{By: "group"}, "web 16; ci 9; ci/a 2; 31 of which 4"},
		{query.Fleet{By: "command"}, "nginx 16; make 9; cron 4; sh 2; 31 of which 4"},
		{query.Fleet{By: "user"}, "5 16; anna 9; 0 6; 31 of which 4"},
		{query.Fleet{By: "host"}, "node2 24; node1 7; 31 of which 4"},
		{query.Fleet{By: "hour"}, "10:00 1; 11:00 14; 12:00 16; 31 of which 4"},
		{query.Fleet{By: "host", Groups: []string{"ci"}}, "node2 8; node1 1; 9 of which 0"},
		{query.Fleet{By: "group", Groups: []string{"ci/", "w*"}}, "web 16; ci/ 2; 18 of which 0"},
		{query.Fleet{By: "hour", Since: f.clock.now.Add(-65 * time.Minute)}, "11:00 14; 12:00 16; 30 of which 4"},
		{query.Fleet{By: "hour", Until: f.clock.now.Add(-70 * time.Minute)}, "10:00 1; 1 of which 0"},
	} {
		if got := rows(tt.q); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.q, got, tt.want)
		}
	}
	if line := f.report(query.Fleet{By: "group"}).Fleet.Line(kitchen); line != "2 hosts; 2 complete to 12:05; 0 conflicts" {
		t.Error(line)
	}
	f.clock.now = f.clock.now.Add(3 * time.Hour)
	f.deliver(a)
	r := f.report(query.Fleet{By: "group"})
	if line := r.Fleet.Line(kitchen); line != "2 hosts; 1 complete to 15:05; node2 3 h behind; 0 conflicts" {
		t.Error(line)
	}
	if r := f.report(query.Fleet{By: "group", Until: f.clock.now.Add(-200 * time.Minute)}); r.Fleet.Complete != 2 {
		t.Errorf("of then: %+v", r.Fleet)
	}
}

// TestDeletedGroupStays: a group that is deleted keeps what it was billed, and one that is
// renamed has its new name in all hours.
func TestDeletedGroupStays(t *testing.T) {
	f := newFleet(t)
	n := f.join(newNode(f.clock, 1), t.TempDir(), wide)
	n.bill(f.hour(3), key{1, 0, "sh"}, spent(1e9))
	n.bill(f.hour(3), key{3, 0, "sh"}, spent(2e9))
	f.deliver(n)
	delete(n.groups, 1)
	n.groups[3] = "www"
	n.bill(f.hour(2), key{1, 0, "sh"}, spent(4e9))
	n.bill(f.hour(2), key{3, 0, "sh"}, spent(8e9))
	f.deliver(n, n)
	got := map[string]float64{}
	for _, row := range f.report(query.Fleet{By: "group"}).Rows {
		got[row.Group] = row.CPUUserSeconds
	}
	if diff := cmp.Diff(map[string]float64{"ci": 5, "www": 10}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestConflict: a host that goes on from a copy is no conflict; two that go on are, and
// what both sent is not on the bill.
func TestConflict(t *testing.T) {
	f := newFleet(t)
	spool, copied := t.TempDir(), t.TempDir()
	a := f.join(newNode(f.clock, 1), spool, wide)
	a.bill(f.hour(5), key{1, 0, "sh"}, spent(1e9))
	f.deliver(a)
	if err := os.CopyFS(copied, os.DirFS(spool)); err != nil {
		t.Fatal(err)
	}
	b := newNode(f.clock, 1)
	b.name = "copy"
	b.bill(f.hour(5), key{1, 0, "sh"}, spent(1e9))
	f.join(b, copied, wide)
	b.bill(f.hour(0), key{1, 0, "sh"}, spent(2e9))
	f.deliver(b, b)
	r := f.report(query.Fleet{By: "group"})
	if r.Fleet.Conflicts != 0 || r.Fleet.Complete != 1 || r.Total.CPUUserSeconds != 3 {
		t.Errorf("the copy alone: %+v, %v s", r.Fleet, r.Total.CPUUserSeconds)
	}
	a.bill(f.hour(0), key{1, 0, "sh"}, spent(4e9))
	a.bill(f.hour(1), key{1, 0, "sh"}, spent(8e9))
	f.round(a)
	_, errb := f.round(b)
	_, erra := f.round(a)
	if !errors.Is(erra, ship.ErrConflict) || !errors.Is(errb, ship.ErrConflict) {
		t.Errorf("told: %v; %v", erra, errb)
	}
	r = f.report(query.Fleet{By: "group"})
	if line := r.Fleet.Line(kitchen); !strings.HasPrefix(line, "1 host; 0 complete; ") || !strings.HasSuffix(line, " is two hosts; 1 conflict") {
		t.Error(line)
	}
	if r.Total.CPUUserSeconds != 1+8 { // not the hour that both sent
		t.Errorf("%v s", r.Total.CPUUserSeconds)
	}
}

// TestNewDatabase: what was not sent of a database that another takes the place of is
// sent, and then it is no host any more.
func TestNewDatabase(t *testing.T) {
	f := newFleet(t)
	spool := t.TempDir()
	n := f.join(newNode(f.clock, 1), spool, wide)
	n.bill(f.hour(1), key{1, 0, "sh"}, spent(1e9))
	f.deliver(n)
	m := newNode(f.clock, 2)
	m.name = n.name
	m.bill(f.hour(0), key{1, 0, "sh"}, spent(2e9))
	f.join(m, spool, wide)
	f.deliver(m, m)
	f.clock.now = f.clock.now.Add(time.Hour)
	f.deliver(m)
	r := f.report(query.Fleet{By: "host"})
	if r.Fleet.Hosts != 1 || r.Fleet.Complete != 1 || len(r.Rows) != 1 || r.Rows[0].Host != "node1" || r.Rows[0].CPUUserSeconds != 3 {
		t.Errorf("%+v %+v", r.Fleet, r.Rows)
	}
	if list, _ := os.ReadDir(spool); len(list) != 1 {
		t.Errorf("the spool has %d sources", len(list))
	}
}

// TestAway: while the sink is away hours wait; what there is no room for is dropped,
// counted, and the line says so; what is there is right.
func TestAway(t *testing.T) {
	f := newFleet(t)
	n := newNode(f.clock, 1)
	f.join(n, t.TempDir(), ship.Bounds{Bytes: 1 << 30, Hours: 3})
	sink := f.sink.(*memory)
	sink.fault = func(string, string) (error, error) { return errors.New("no route to host"), nil }
	for h := range uint32(6) {
		n.bill(f.hour(5-h), key{1, 0, "sh"}, spent(1<<h))
		if r, err := f.round(n); err == nil || r.Waiting == 0 {
			t.Errorf("%+v, %v", r, err)
		}
	}
	sink.fault = nil
	r, err := f.round(n)
	if err != nil || r.Lost.Items != 2 || r.Lost.CPU != 1+2 || r.Waiting != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	report := f.report(query.Fleet{By: "host"})
	if line := report.Fleet.Line(kitchen); line != "1 host; 0 complete; node1 has hours that were never sent; 0 conflicts" || report.Total.Processes != 4 {
		t.Errorf("%s, %d processes", line, report.Total.Processes)
	}
	if report := f.report(query.Fleet{By: "host", Since: f.clock.now.Add(-3 * time.Hour)}); report.Fleet.Complete != 1 {
		t.Errorf("of hours that are there: %+v", report.Fleet)
	}
}

// TestVerify: every file that is not what was sent is named, and the host mends what it
// sees.
func TestVerify(t *testing.T) {
	f := newFleet(t)
	n := f.join(newNode(f.clock, 1), t.TempDir(), wide)
	for h := range uint32(3) {
		n.bill(f.hour(h), key{1, 0, "sh"}, spent(1<<h))
	}
	f.deliver(n)
	var told []string
	r := Reader{Sink: f.sink, Now: func() time.Time { return f.clock.now }, Damage: func(err error) { told = append(told, err.Error()) }}
	status := func() string {
		told = nil
		hosts, _, err := r.Status(t.Context(), true)
		if err != nil || len(hosts) != 1 {
			t.Fatal(hosts, err)
		}
		return hosts[0].State
	}
	if s := status(); s != query.Complete || told != nil {
		t.Errorf("%s %q", s, told)
	}
	files := f.sink.(*memory).files
	var names []string
	for name := range files {
		if !strings.HasPrefix(name, ship.Manifests) {
			names = append(names, name)
		}
	}
	delete(files, names[0])
	files[names[1]] = files[names[1]][:20]
	files[names[2]][30] ^= 1
	if s := status(); s != query.Damaged || len(told) != 3 {
		t.Errorf("%s %q", s, told)
	}
	f.clock.now = f.clock.now.Add(2 * time.Hour)
	f.deliver(n, n)
	if s := status(); s != query.Damaged || len(told) != 1 || !strings.Contains(told[0], names[2]) {
		t.Errorf("%s %q", s, told)
	}
}

// TestAnotherFile: where the file that the manifest names is lost, one of another writer
// or version does not make the host complete, whatever its version.
func TestAnotherFile(t *testing.T) {
	for _, version := range []uint64{0, 1, 2, 3} {
		f := newFleet(t)
		n := f.join(newNode(f.clock, 1), t.TempDir(), wide)
		n.bill(f.hour(1), key{1, 0, "sh"}, spent(1e9))
		f.deliver(n)
		n.bill(f.hour(1), key{1, 0, "sh"}, spent(2e9))
		f.deliver(n)
		files := f.sink.(*memory).files
		for name, body := range maps.Clone(files) {
			c, ok := ship.ParseCells(name)
			if !ok {
				continue
			}
			if c.Version != 2 {
				t.Fatalf("%s is there", name)
			}
			b, err := cells.Decode(body)
			if err != nil {
				t.Fatal(err)
			}
			delete(files, name)
			if c.Version, c.Writer, b.Version = version, "another0", version; version > 0 {
				if files[c.Name()], err = cells.Encode(b); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, q := range []query.Fleet{{By: "host"}, {By: "host", Since: f.clock.now.Add(-3 * time.Hour)}} {
			if r := f.report(q); r.Fleet.Complete != 0 || len(r.Fleet.Incomplete) != 1 || r.Fleet.Incomplete[0].State != query.Missing {
				t.Errorf("version %d: %+v", version, r.Fleet)
			}
		}
		r := Reader{Sink: f.sink, Now: func() time.Time { return f.clock.now }, Damage: func(error) {}}
		hosts, _, err := r.Status(t.Context(), true)
		if err != nil || len(hosts) != 1 || hosts[0].State != query.Missing {
			t.Errorf("version %d: %+v, %v", version, hosts, err)
		}
	}
}
