// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/internal/cells"
	"elsa/internal/chdb"
	"elsa/internal/clickhouse"
	"elsa/internal/fault"
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
	}{{"report", engineReport}, {"versions", engineVersions}, {"conflict", engineConflict}, {"lost rows", engineLost}, {"law", engineLaw}} {
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
	block := func(version uint64) {
		c := ship.Cells{Source: newNode(e.clock, 1).source, Hour: e.hour(1), Version: version, Writer: "aaaaaaaa"}
		b := &cells.Block{Source: c.Source, Host: "node1", Hour: c.Hour, Version: version, Writer: c.Writer, Cells: []cells.Cell{
			{Command: "all", Usage: *spent(version)}, {Command: fmt.Sprint("only", version), Usage: *spent(100 * version)},
		}}
		body, err := cells.Encode(b)
		if err != nil {
			t.Fatal(err)
		}
		item := ship.Item{Name: c.Name(), Hour: c.Hour, Version: version, Rows: 2, CPU: b.CPU()}
		if err := e.reader.Place.Put(t.Context(), &item, body); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range []uint64{1, 3, 2, 3} {
		block(version)
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

// tableBills are all cells that count, by host.
func (e *engine) tableBills() map[string]map[string]usage.Usage {
	e.t.Helper()
	figures := make([]string, len(usage.Stored))
	for i, f := range usage.Stored {
		figures[i] = f.Info().Column()
	}
	bills := map[string]map[string]usage.Usage{}
	sql := fmt.Sprintf("SELECT host, hour, arrayStringConcat(groups, ','), uid, command, %s FROM cells FINAL WHERE %s",
		strings.Join(figures, ", "), fmt.Sprintf(newestVersion, "1"))
	if err := e.reader.Place.Query(e.t.Context(), strings.Replace(sql, "host,", "CAST(host, 'String'),", 1), func(r *clickhouse.Row) error {
		host, hour := r.Text(), r.U32()/3600
		groups, uid, command := r.Text(), r.U32(), r.Text()
		if bills[host] == nil {
			bills[host] = map[string]usage.Usage{}
		}
		var u usage.Usage
		for _, f := range usage.Stored {
			u[f] = r.U64()
		}
		bills[host][cellName(hour, groups, uid, command)] = u
		return nil
	}); err != nil {
		e.t.Fatal(err)
	}
	return bills
}

// engineLaw: whatever is cut off before or after it is done, done twice, done late, or
// answered with an error, and whatever hosts are killed, the fleet's bill is the sum of the
// local ones, to the nanosecond; and while it is not yet, the line does not say it is.
func engineLaw(t *testing.T, s *chdb.Server) {
	e := newEngine(t, s)
	p := s.Proxy(t)
	direct := e.reader.Place
	name := direct.String()
	through := tables(t, "clickhouse://"+p.Host+"/"+name[strings.LastIndexByte(name, '/')+1:])
	rnd := rand.New(rand.NewPCG(1, 2))
	faults, calm := map[chdb.Fault]int{}, true
	p.Next = func(string) chdb.Fault {
		if calm || rnd.IntN(9) > 0 {
			return chdb.None
		}
		f := chdb.Fault(rnd.IntN(int(chdb.Faults)))
		faults[f]++
		return f
	}
	crash, killed := "", 0
	nodes, spools := []*node{}, map[*node]string{}
	open := func(n *node) {
		sh, err := ship.New(ship.Options{Place: through, Cells: n, Spool: spools[n], Bounds: wide, Again: 30 * time.Minute, Now: func() time.Time { return e.clock.now },
			At: func(point string) {
				if point == crash {
					panic(crashed{})
				}
			}})
		if err != nil {
			t.Fatal(err)
		}
		e.ship[n] = sh
	}
	round := func(n *node) (err error) {
		defer func() {
			crash = ""
			switch p := recover().(type) {
			case nil:
			case crashed:
				killed++
				open(n)
			default:
				panic(p)
			}
		}()
		_, err = e.round(n)
		return err
	}
	for i := range 3 {
		n := newNode(e.clock, i+1)
		nodes, spools[n] = append(nodes, n), t.TempDir()
		open(n)
	}
	told := 0
	for range 50 {
		e.clock.now = e.clock.now.Add(7 * time.Minute)
		n := nodes[rnd.IntN(len(nodes))]
		for range rnd.IntN(4) {
			k := key{uint32(rnd.IntN(4)), uint32(rnd.IntN(2) * 1000), []string{"make", "sh"}[rnd.IntN(2)]}
			n.bill(e.hour(uint32(rnd.IntN(5))), k, &usage.Usage{usage.Ended: 1, usage.User: rnd.Uint64N(1e9), usage.System: rnd.Uint64N(1e9), usage.MaxRSS: rnd.Uint64N(1e9)})
		}
		switch calm = false; rnd.IntN(12) {
		case 0, 1, 2:
			crash = fault.ShipPoints[rnd.IntN(len(fault.ShipPoints))]
		case 3:
			n.groups[3] = []string{"web", "www"}[rnd.IntN(2)]
		case 4:
			os.RemoveAll(spools[n])
			open(n)
		case 5:
			n.run++
			open(n)
		case 6:
			e.run("OPTIMIZE TABLE DB.cells FINAL")
		}
		round(n)
		calm = true
		// The line tells the truth at each moment: of hosts that are complete all is there
		// that they had when they were asked.
		have := e.tableBills()
		c := e.report(query.Fleet{By: "host"}).Fleet
		manifests, err := direct.Manifests(t.Context(), "", func(err error) { t.Error(err) })
		if err != nil {
			t.Fatal(err)
		}
		incomplete := map[string]bool{}
		for _, h := range c.Incomplete {
			incomplete[h.Source] = true
		}
		for id, s := range sourcesOf(manifests) {
			n := nodes[slices.IndexFunc(nodes, func(n *node) bool { return n.source == id })]
			at := s.last().Through
			want, known := n.answers[at]
			if incomplete[id] || !known {
				continue
			}
			told++
			got := byHour(orEmpty(have[n.name]))
			for hour := range byHour(want) {
				if !slices.ContainsFunc(slices.Collect(maps.Keys(n.answers)), func(t time.Time) bool {
					return !t.Before(at) && cmp.Equal(byHour(n.answers[t])[hour], got[hour])
				}) {
					t.Fatalf("%s, complete to %v, is not (-local +fleet):\n%s", n.name, at, cmp.Diff(byHour(want)[hour], got[hour]))
				}
			}
		}
	}
	for _, n := range nodes { // each names groups as they are now
		n.run++
	}
	for range 3 {
		e.clock.now = e.clock.now.Add(time.Hour)
		for _, n := range nodes {
			if err := round(n); err != nil {
				t.Log(n.name, err)
			}
		}
	}
	have, sum := e.tableBills(), usage.Usage{}
	for _, n := range nodes {
		local := n.local()
		if diff := cmp.Diff(local, have[n.name]); diff != "" {
			t.Errorf("%s (-local +fleet):\n%s", n.name, diff)
		}
		for _, u := range local {
			sum.Add(&u)
		}
	}
	for _, by := range query.FleetBys {
		r := e.report(query.Fleet{By: by})
		if r.Fleet.Complete != 3 || r.Fleet.Hosts != 3 {
			t.Errorf("in the end: %+v", r.Fleet)
		}
		if got := uint64(r.Total.CPUSeconds*1e9 + 0.5); got != uint64(sum.CPU()) || r.Total.Processes != sum[usage.Ended] {
			t.Errorf("by %s: %d ns, Σ local is %d ns", by, got, sum.CPU())
		}
	}
	for f := chdb.CutBefore; f < chdb.Faults; f++ {
		if faults[f] == 0 {
			t.Errorf("fault %d did not happen", f)
		}
	}
	if killed == 0 || told == 0 {
		t.Errorf("killed %d times, complete %d times", killed, told)
	}
	t.Logf("faults %v, killed %d times, complete %d times", faults, killed, told)
}
