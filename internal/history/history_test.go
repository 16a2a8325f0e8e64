// SPDX-License-Identifier: Apache-2.0

package history

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// disk is a database.
type disk map[string]stored

type stored struct {
	key   Key
	usage usage.Usage
}

func (d disk) flush(r *Rolls) {
	r.Flush(func(k *Key, u *usage.Usage) {
		sum := d[fmt.Sprintf("%+v", *k)].usage
		sum.Add(u)
		d[fmt.Sprintf("%+v", *k)] = stored{*k, sum}
	})
}

func cellIn(hour uint32, set groups.SetID, uid uint32, command string) *usage.Cell {
	return &usage.Cell{Hour: hour, Set: set, UID: uid, Comm: comm(command)}
}

func TestCommandsAreBounded(t *testing.T) {
	r := New(groups.NewSets(), 3)
	r.Known = func(hour uint32) []string {
		if hour == 7 {
			return []string{"known"}
		}
		return nil
	}
	d := disk{}
	for i := range 10 {
		r.Roll(cellIn(7, 0, 0, fmt.Sprint("c", i))).Add(&usage.Usage{usage.Ended: 1})
		r.Roll(cellIn(8, 0, 0, fmt.Sprint("c", i))).Add(&usage.Usage{usage.Ended: 1})
	}
	r.Roll(cellIn(7, 0, 0, "known")).Add(&usage.Usage{usage.Ended: 1})
	d.flush(r)
	r.Done()
	got := map[string]uint64{}
	for k, s := range d {
		got[k] = s.usage[usage.Ended]
	}
	want := map[string]uint64{}
	for _, c := range []struct {
		hour    uint32
		command string
		n       uint64
	}{{7, "known", 1}, {7, "c0", 1}, {7, "c1", 1}, {7, Other, 8}, {8, "c0", 1}, {8, "c1", 1}, {8, "c2", 1}, {8, Other, 7}} {
		want[fmt.Sprintf("%+v", Key{Hour: c.hour, Command: c.command})] = c.n
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cells (-want +got):\n%s", diff)
	}
}

// Whatever happens to deaths and transactions, the cells add up to the bills.
func TestModelCellsAddUpToBills(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		tracker := groups.New(groups.NewSets())
		j := usage.NewJoin()
		j.ExpectExact = seed%2 == 0
		r := New(tracker.Sets, 5)
		j.Roll = r.Roll
		d := disk{}
		open, fails := false, false // a transaction
		now := clock.Boot(time.Hour)
		sets := []groups.SetID{0, 1}
		for g := range uint32(3) {
			sets = append(sets, tracker.Sets.Only(g+1), tracker.Sets.With(tracker.Sets.Only(g+1), 9))
		}
		for pid := int32(1); pid < 300; pid++ {
			now += clock.Boot(rnd.Int64N(int64(time.Minute)))
			life := groups.Life{PID: pid, Start: clock.At(now.Add(-time.Second), clock.Stamped), Set: sets[rnd.IntN(len(sets))]}
			if rnd.IntN(3) == 0 {
				j.Sample(life.Key(), *cellIn(1, life.Set, 0, "mover"), &usage.Measure{usage.User: uint64(rnd.IntN(1e6)), usage.MinorFaults: 3})
				to := sets[rnd.IntN(len(sets))]
				j.Move(groups.Change{Life: life, From: life.Set, To: to}, rnd.IntN(4) == 0)
				life.Set = to
			}
			rec := acct.Record{
				Source: acct.BSD, PID: pid, UID: uint32(rnd.IntN(3)), Comm: comm(fmt.Sprint("c", rnd.IntN(12))),
				Begin: int64(life.Start.Boot()) / 1e9, Elapsed: time.Second, User: time.Duration(rnd.IntN(1e7)), MinorFaults: 5,
				ExitCode: uint32(rnd.IntN(2) << 8),
			}
			ex := rec
			ex.Source, ex.Start, ex.CPU = acct.Exact, int64(life.Start.Boot()), rec.User+time.Duration(rnd.IntN(1e6))
			switch rnd.IntN(4) {
			case 0:
				j.Unledgered(life, now)
			case 1:
				j.Precise(&ex, now)
				j.Line(&rec, life, true, now)
			case 2:
				j.Line(&rec, life, true, now)
				j.Precise(&ex, now)
			default:
				j.Line(&rec, life, true, now)
			}
			if rnd.IntN(5) == 0 {
				j.Step(now, func(*acct.Record) {})
			}
			switch {
			case open && rnd.IntN(3) == 0: // more was put on bills since
				if open = false; fails {
					r.Failed()
				} else {
					r.Done()
				}
			case !open && rnd.IntN(4) == 0:
				open = true
				if fails = rnd.IntN(3) == 0; fails {
					disk{}.flush(r)
				} else {
					d.flush(r)
				}
			}
			if pid == 200 {
				moved := tracker.DropGroup(9)
				j.Merge(moved, tracker.Sets.Only(groups.Former))
				for i, set := range sets {
					if to, ok := moved[set]; ok {
						sets[i] = to
					}
				}
			}
		}
		j.ExpectExact = false
		j.Step(now, func(*acct.Record) {})
		if open && fails {
			r.Failed()
		} else if open {
			r.Done()
		}
		d.flush(r)
		var want usage.Usage
		for set := range tracker.Sets.Len() {
			u := j.Total(groups.SetID(set))
			want.Add(&u)
		}
		// And group by group: the report shows the bill of each.
		report := NewReport(ByGroup, func(g uint32) []int {
			if g == 9 {
				return nil
			}
			return []int{int(g)}
		}, true)
		for _, s := range d {
			report.Add(&s.key, &s.usage)
		}
		if diff := cmp.Diff(want, report.Total); diff != "" {
			t.Fatalf("seed %d: (-bills +cells):\n%s", seed, diff)
		}
		got, bills := map[uint32]usage.Usage{}, map[uint32]usage.Usage{}
		for _, row := range report.Rows() {
			got[uint32(row.Group)] = row.Usage
		}
		for set := range tracker.Sets.Len() {
			for _, g := range tracker.Sets.Groups(groups.SetID(set)) {
				if g == groups.Former {
					continue // its cells are of no group that is wanted
				}
				sum, u := bills[g], j.Total(groups.SetID(set))
				sum.Add(&u)
				bills[g] = sum
			}
		}
		if diff := cmp.Diff(bills, got); diff != "" {
			t.Fatalf("seed %d: groups (-bills +report):\n%s", seed, diff)
		}
	}
}

// A death costs no allocation once its cell is there.
func TestRollDoesNotAllocate(t *testing.T) {
	r := New(groups.NewSets(), 10)
	c := cellIn(1, 0, 0, "a")
	r.Roll(c)
	if n := testing.AllocsPerRun(100, func() { r.Roll(c)[usage.Ended]++ }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
