// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/internal/cells"
	"elsa/internal/chdb"
	"elsa/internal/query"
	"elsa/internal/ship"
	"elsa/pkg/usage"
)

func tables(t *testing.T, address string) ship.Tables {
	t.Helper()
	p, err := ship.OpenPlace(address)
	if err != nil {
		t.Fatal(err)
	}
	return p.(ship.Tables)
}

// engine is a fleet that delivers to tables.
type engine struct {
	*fleet
	reader *Tables
	server *chdb.Server
	told   []string
}

func newEngine(t *testing.T, s *chdb.Server) *engine {
	f := newFleet(t)
	e := &engine{fleet: f, server: s}
	e.reader = &Tables{Place: tables(t, s.Address("", s.Database(t))), Now: func() time.Time { return f.clock.now }, Damage: func(err error) { e.told = append(e.told, err.Error()) }}
	return e
}

// join makes a host deliver to the tables from a spool.
func (e *engine) join(n *node, spool string) *node {
	e.t.Helper()
	s, err := ship.New(ship.Options{Place: e.reader.Place, Cells: n, Spool: spool, Bounds: wide, Again: time.Hour, Now: func() time.Time { return e.clock.now }})
	if err != nil {
		e.t.Fatal(err)
	}
	e.ship[n] = s
	return n
}

func (e *engine) report(q query.Fleet) *query.FleetReport {
	e.t.Helper()
	out, err := e.reader.Report(e.t.Context(), &q)
	if err != nil {
		e.t.Fatal(err)
	}
	return out
}

func (e *engine) run(sql string) string {
	e.t.Helper()
	name := e.reader.Place.String()
	return e.server.Run(e.t, strings.ReplaceAll(sql, "DB.", name[strings.LastIndexByte(name, '/')+1:]+"."))
}

// TestEngine are tests of one engine.
func TestEngine(t *testing.T) {
	server := chdb.Start(t, "", "")
	for _, tt := range []struct {
		name string
		run  func(*testing.T, *chdb.Server)
	}{{"report", engineReport}, {"versions", engineVersions}, {"conflict", engineConflict}, {"lost rows", engineLost}, {"law", engineLaw}, {"scale", engineScales}, {"inserts", engineInserts}} {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, server) })
	}
}

// engineReport: over tables each report is what it is over files.
func engineReport(t *testing.T, s *chdb.Server) {
	f, e := newFleet(t), newEngine(t, s)
	for n := range 3 {
		a := newNode(f.clock, n+1)
		a.bill(f.hour(30), key{1, 1000, "make"}, spent(1e9+uint64(n)))
		a.bill(f.hour(2), key{1, 1000, "it's \\ \"\n"}, spent(3))
		a.bill(f.hour(1), key{2, 0, "sh"}, &usage.Usage{usage.Ended: 3, usage.MaxRSS: uint64(1 << (20 + n)), usage.System: 7})
		a.bill(f.hour(1), key{2, 4294967295, "sh"}, spent(5))
		a.bill(f.hour(1), key{0, 0, "cron"}, spent(4e9))
		a.bill(f.hour(0), key{3, 5, "nginx"}, spent(1<<60))
		f.join(a, t.TempDir(), wide)
		e.join(a, t.TempDir())
		f.deliver(a)
		e.deliver(a)
		a.bill(f.hour(1), key{2, 0, "sh"}, spent(11))
		f.deliver(a)
		e.deliver(a)
	}
	now := func() time.Time { return f.clock.now.Add(time.Minute) }
	e.reader.Now = now
	for _, by := range query.FleetBys {
		for _, q := range []query.Fleet{
			{}, {Groups: []string{"ci"}}, {Groups: []string{"ci/", "w*"}}, {Groups: []string{"none"}}, {Since: f.clock.now.Add(-65 * time.Minute)},
			{Until: f.clock.now.Add(-70 * time.Minute)}, {Since: f.clock.now.Add(-31 * time.Hour), Until: f.clock.now.Add(-29 * time.Hour)},
		} {
			q.By = by
			r := Reader{Sink: f.sink, Now: now, Damage: func(err error) { t.Error(err) }}
			want, err := r.Report(t.Context(), &q)
			if err != nil {
				t.Fatal(err)
			}
			for i := range want.Fleet.Incomplete {
				t.Error(want.Fleet.Incomplete[i])
			}
			got := e.report(q)
			want.Fleet.Through, got.Fleet.Through = time.Time{}, time.Time{} // each was delivered at its own time
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%+v (-files +tables):\n%s", q, diff)
			}
			if len(want.Rows) == 0 && q.Groups == nil && q.Until.IsZero() {
				t.Errorf("%+v: no rows", q)
			}
		}
	}
	if e.told != nil {
		t.Error(e.told)
	}
}

// engineVersions: versions that come as 1, 3, 2, 3 are version 3, also of cells that only
// an earlier one has.
func engineVersions(t *testing.T, s *chdb.Server) {
	e := newEngine(t, s)
	var item ship.Item
	block := func(version uint64) {
		c := ship.Cells{Source: newNode(e.clock, 1).source, Hour: e.hour(1), Version: version, Writer: "aaaaaaaa"}
		b := &cells.Block{Source: c.Source, Host: "node1", Hour: c.Hour, Version: version, Writer: c.Writer, Cells: []cells.Cell{
			{Command: "all", Usage: *spent(version)}, {Command: fmt.Sprint("only", version), Usage: *spent(100 * version)},
		}}
		body, err := cells.Encode(b)
		if err != nil {
			t.Fatal(err)
		}
		item = ship.Item{Name: c.Name(), Hour: c.Hour, Version: version, Rows: 2, CPU: b.CPU()}
		if err := e.reader.Place.Put(t.Context(), &item, body); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range []uint64{1, 3, 2, 3} {
		block(version)
	}
	// A host is told what is there of what it sent, not that it was taken in.
	for _, tt := range []struct {
		is   func(*ship.Item)
		want error
	}{
		{func(*ship.Item) {}, nil},
		{func(i *ship.Item) { i.Rows++ }, ship.ErrDiffers},
		{func(i *ship.Item) { i.CPU++ }, ship.ErrDiffers},
		{func(i *ship.Item) { i.Name = strings.Replace(i.Name, "aaaaaaaa", "bbbbbbbb", 1) }, fs.ErrNotExist},
	} {
		sent := item
		tt.is(&sent)
		if err := e.reader.Place.Check(t.Context(), &sent); !errors.Is(err, tt.want) {
			t.Errorf("%+v: %v, want %v", sent, err, tt.want)
		}
	}
	r := e.report(query.Fleet{By: "command"})
	got := map[string]float64{}
	for _, row := range r.Rows {
		got[row.Command] = row.CPUUserSeconds * 1e9
	}
	if diff := cmp.Diff(map[string]float64{"all": 3, "only3": 300}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r.Fleet.Hosts != 1 || r.Fleet.Complete != 0 || r.Fleet.Incomplete[0].State != query.Unknown || r.Fleet.Incomplete[0].Host != "node1" {
		t.Errorf("nothing says that it is all: %+v", r.Fleet)
	}
}

// engineConflict: two hosts with one identity are a conflict, and what both sent is not on
// the bill.
func engineConflict(t *testing.T, s *chdb.Server) {
	e := newEngine(t, s)
	spool, copied := t.TempDir(), t.TempDir()
	a := e.join(newNode(e.clock, 1), spool)
	a.bill(e.hour(5), key{1, 0, "sh"}, spent(1e9))
	e.deliver(a)
	if err := os.CopyFS(copied, os.DirFS(spool)); err != nil {
		t.Fatal(err)
	}
	b := newNode(e.clock, 1)
	b.name = "copy"
	b.bill(e.hour(5), key{1, 0, "sh"}, spent(1e9))
	e.join(b, copied)
	b.bill(e.hour(0), key{1, 0, "sh"}, spent(2e9))
	e.deliver(b, b)
	if r := e.report(query.Fleet{By: "group"}); r.Fleet.Conflicts != 0 || r.Fleet.Complete != 1 || r.Total.CPUUserSeconds != 3 {
		t.Errorf("the copy alone: %+v, %v s", r.Fleet, r.Total.CPUUserSeconds)
	}
	a.bill(e.hour(0), key{1, 0, "sh"}, spent(4e9))
	a.bill(e.hour(1), key{1, 0, "sh"}, spent(8e9))
	e.round(a)
	e.round(b)
	e.round(a)
	r := e.report(query.Fleet{By: "group"})
	if line := r.Fleet.Line(kitchen); !strings.HasSuffix(line, " is two hosts; 1 conflict") {
		t.Error(line)
	}
	if r.Total.CPUUserSeconds != 1+8 { // not the hour that both sent
		t.Errorf("%v s", r.Total.CPUUserSeconds)
	}
}

// engineLost: rows that the engine said it has and lost are missed by the report and by
// fleet verify, and the host's hourly look sends them again. So does a request.
func engineLost(t *testing.T, s *chdb.Server) {
	e := newEngine(t, s)
	n := e.join(newNode(e.clock, 1), t.TempDir())
	for h := range uint32(3) {
		n.bill(e.hour(h), key{1, 0, "sh"}, spent(1<<h))
		n.bill(e.hour(h), key{1, 0, "cc"}, spent(100<<h))
	}
	e.deliver(n)
	state := func() string {
		t.Helper()
		e.told = nil
		hosts, c, err := e.reader.Status(t.Context(), false)
		if err != nil || len(hosts) != 1 {
			t.Fatal(hosts, err)
		}
		return fmt.Sprint(hosts[0].State, " ", len(e.told), " ", c.Complete, " ", e.report(query.Fleet{By: "host"}).Fleet.Complete)
	}
	whole := e.report(query.Fleet{By: "command"})
	if s := state(); s != "complete 0 1 1" {
		t.Error(s, e.told)
	}
	for _, tt := range []struct{ sql, want string }{
		{"DELETE FROM DB.cells WHERE command = 'cc' AND hour = (SELECT max(hour) FROM DB.cells)", "damaged 1 0 0"},
		{"TRUNCATE TABLE DB.cells", "missing 3 0 0"},
	} {
		sql, want := tt.sql, tt.want
		e.run(sql)
		if s := state(); s != want {
			t.Errorf("%s: %s, want %s: %q", sql, s, want, e.told)
		}
		e.clock.now = e.clock.now.Add(time.Hour)
		if r, err := e.round(n); err != nil || r.Resent == 0 {
			t.Errorf("%s: %+v, %v", sql, r, err)
		}
		e.deliver(n)
		if s := state(); s != "complete 0 1 1" {
			t.Errorf("%s: then %s", sql, s)
		}
	}
	if diff := cmp.Diff(whole.Rows, e.report(query.Fleet{By: "command"}).Rows); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	e.run("TRUNCATE TABLE DB.cells")
	ask := ship.Request{ID: "one", Since: e.clock.now.Add(-24 * time.Hour)}
	if err := e.reader.Place.Ask(t.Context(), n.source, ask); err != nil {
		t.Fatal(err)
	}
	if r, err := e.round(n); err != nil || r.Resent != 3 {
		t.Errorf("asked: %+v, %v", r, err)
	}
	if s := state(); s != "complete 0 1 1" {
		t.Errorf("asked: %s", s)
	}
	if r, err := e.round(n); err != nil || r.Resent != 0 {
		t.Errorf("asked once: %+v, %v", r, err)
	}
}
