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

	"elsa/internal/chdb"
	"elsa/internal/clickhouse"
	"elsa/internal/fault"
	"elsa/internal/query"
	"elsa/internal/ship"
	"elsa/pkg/usage"
)

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
