// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// TestModelOrder gives the same records of the same deaths in two orders: the
// bills are the same at the end, but for the split of CPU in user and system
// time, of which neither may ever fall. Without exact records a death is closed
// with its line, so taskstats comes before, as the kernel sends it.
func TestModelOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		expect := rapid.Bool().Draw(t, "exact")
		m := &model{Join: newTestJoin(expect), now: now}
		var gives []func(j *Join)
		for range rapid.IntRange(1, 6).Draw(t, "deaths") {
			m.now += 10 * sec
			p := &mProcess{life: groups.Life{PID: int32(rapid.IntRange(1, 3).Draw(t, "pid")), Start: stamped(m.now), Set: drawSet(t, "set")}, known: true}
			m.procs = []*mProcess{p}
			m.death(t)
			line := func(j *Join) { j.Line(&p.line, p.life, true, now) }
			ts := func(j *Join) { j.Precise(&p.ts, now) }
			ex := func(j *Join) { j.Precise(&p.ex, now) }
			if p.toTS > 0 && expect {
				gives = append(gives, line, ts)
			} else if p.toTS > 0 {
				gives = append(gives, func(j *Join) { ts(j); line(j) })
			} else {
				gives = append(gives, line)
			}
			if p.toEx > 0 && expect {
				gives = append(gives, ex)
			}
		}
		result := func(order []func(*Join)) map[groups.SetID]Usage {
			j := newTestJoin(expect)
			for _, give := range order {
				give(j)
			}
			j.Step(now+3*sec, giveUp)
			bills := map[groups.SetID]Usage{}
			for set := range groups.SetID(sets) {
				u := j.Total(set)
				u[User], u[System] = 0, uint64(u.CPU())
				bills[set] = u
			}
			j.Step(now+3600*sec, giveUp)
			checkEmpty(t, j)
			return bills
		}
		if diff := cmp.Diff(result(gives), result(rapid.Permutation(gives).Draw(t, "order"))); diff != "" {
			t.Errorf("in one order and in another (-one +another):\n%s", diff)
		}
	})
}

// TestModelPrecisePerDeath floods a join with records of which each must find its
// own death among many of other pids, given in any order.
func TestModelPrecisePerDeath(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := newTestJoin(false)
		n := rapid.IntRange(1, 200).Draw(t, "deaths")
		var gives []func()
		for pid := int32(1); pid <= int32(n); pid++ {
			r := ts
			r.PID, r.ReadBytes = pid, uint64(pid)
			gives = append(gives, func() { j.Precise(&r, now) })
		}
		for _, give := range rapid.Permutation(gives).Draw(t, "order") {
			give()
		}
		for pid := int32(1); pid <= int32(n); pid++ {
			l, r := life, line
			l.PID, r.PID, l.Set = pid, pid, groups.SetID(pid)
			j.Line(&r, l, true, now)
			if u := j.Total(l.Set); u[ReadBytes] != uint64(pid) || u[Sampled] != 1 {
				t.Fatalf("death %d got the record of %d", pid, u[ReadBytes])
			}
		}
		if len(j.precise.nodes) != n {
			t.Errorf("%d nodes for %d records", len(j.precise.nodes), n)
		}
		checkEmpty(t, j)
	})
}

// TestHeldOrder checks that records of one pid are taken oldest first, and that
// time takes only the old ones.
func TestHeldOrder(t *testing.T) {
	h := newHeld()
	for i := range int64(6) {
		h.put(&acct.Record{PID: int32(i % 2), Begin: i}, clock.Boot(i))
	}
	take := func(pid int32, fits func(*acct.Record) bool) int64 {
		if r := h.take(pid, func(r *acct.Record, _ clock.Boot) time.Duration {
			if fits(r) {
				return 0
			}
			return -1
		}); r != nil {
			return r.Begin
		}
		return -1
	}
	every := func(*acct.Record) bool { return true }
	if got := take(0, func(r *acct.Record) bool { return r.Begin > 0 }); got != 2 {
		t.Errorf("took %d, want 2", got)
	}
	if got := take(0, every); got != 0 {
		t.Errorf("took %d, want 0", got)
	}
	if got := take(7, every); got != -1 {
		t.Errorf("took %d of nobody", got)
	}
	var late []int64
	for _, r := range h.old(4, nil) {
		late = append(late, r.Begin)
	}
	if n := h.expire(4); n != 2 {
		t.Errorf("%d expired, want 2", n)
	}
	if diff := cmp.Diff([]int64{1, 3}, late); diff != "" {
		t.Errorf("expired (-want +got):\n%s", diff)
	}
	if got := [2]int64{take(0, every), take(1, every)}; got != [2]int64{4, 5} {
		t.Errorf("left %v, want 4 and 5", got)
	}
	if h.count != 0 || len(h.head) != 0 {
		t.Errorf("%d records, %d pids are left", h.count, len(h.head))
	}
	for i := range int32(6) {
		h.put(&acct.Record{PID: i}, 0)
	}
	if len(h.nodes) != 6 {
		t.Errorf("%d nodes for 6 records: they are not used again", len(h.nodes))
	}
}

// A pid is used again within milliseconds. Each death gets its own exact record,
// whatever comes first, also when one is missing: the slack takes in all of them.
func TestExactOfReusedPid(t *testing.T) {
	const lives, missing, gap = 5, 1, int64(3 * time.Millisecond)
	for _, late := range []bool{false, true} { // the records come before the lines, or after
		j := newTestJoin(true)
		var lines, records []func()
		for i := range int64(lives) {
			l, r, x := life, line, ex
			born := int64(life.Start.Boot()) + i*gap
			l.Start, x.Start = stamped(clock.Boot(born)), born-1000
			l.Set = groups.SetID(10 + i)
			x.CPU = time.Duration(i+1) * time.Second
			x.User, x.System = x.CPU, 0
			lines = append(lines, func() { j.Line(&r, l, true, now) })
			if i != missing {
				records = append(records, func() { j.Precise(&x, now) })
			}
		}
		order := append(records, lines...)
		if late {
			order = append(lines, records...)
		}
		for _, give := range order {
			give()
		}
		for i := range int64(lives) {
			if u := j.Total(groups.SetID(10 + i)); i != missing && u.CPU() != time.Duration(i+1)*time.Second || i == missing && u[Exact] != 0 {
				t.Errorf("late %v: life %d is billed %v", late, i, u.CPU())
			}
		}
	}
}
