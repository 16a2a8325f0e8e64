// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

const (
	ms  = time.Millisecond
	sec = 1_000_000_000 // in ns of any clock
)

// One process, as all three sources tell of it. It began at boot time 1000.25 s,
// in second 5001 by the wall clock.
const (
	wall  = 4000*sec + 900*sec/1000
	start = 1000*sec + 250*sec/1000
	now   = 1010 * sec
)

var (
	life = groups.Life{PID: 10, PPID: 1, Start: stamped(start + 2e6), Exit: start + 3*sec, Set: 5}
	line = acct.Record{Source: acct.BSD, Whole: true, PID: 10, Begin: 5001, Elapsed: 3010 * ms, ExitCode: 9,
		User: 10 * ms, System: 20 * ms, CPU: 30 * ms, MinorFaults: 90, UID: 7, Comm: [16]byte{'a'}}
	ts = acct.Record{Source: acct.Taskstats, Whole: true, PID: 10, Start: start, Begin: 5002, Elapsed: 3000 * ms, ExitCode: 9,
		User: 15 * ms, System: 23 * ms, CPU: 38 * ms, Runtime: 35 * ms, MinorFaults: 91, ReadBytes: 4096, MaxRSS: 1 << 20, UID: 7, Comm: [16]byte{'a'}}
	ex = acct.Record{Source: acct.Exact, Whole: true, PID: 10, Start: start, ExitCode: 9,
		User: 9 * ms, System: 27 * ms, CPU: 36 * ms, MinorFaults: 95, ReadBytes: 8192, MaxRSS: 1 << 20, UID: 7, Comm: [16]byte{'a'}}
)

func stamped(at clock.Boot) clock.Start { return clock.At(at, clock.Stamped) }

// bill is what the cases look at.
type bill struct {
	CPU              time.Duration
	Elapsed          time.Duration
	Faults, Read     uint64
	Ended, Signalled uint64
	Grades           [3]uint64 // exact, sampled, rounded
}

func billOf(u Usage) bill {
	return bill{u.CPU(), time.Duration(u[Elapsed]), u[MinorFaults], u[ReadBytes], u[Ended], u[ExitSignal], [3]uint64{u[Exact], u[Sampled], u[Rounded]}}
}

func newTestJoin(expectExact bool) *Join {
	j := NewJoin()
	j.Patience = 2 * time.Second
	j.ExpectExact = expectExact
	j.Booted = wall
	return j
}

func giveUp(*acct.Record) {}

// standing has one process found dead that nobody waited for.
func standing(j *Join, at clock.Boot, key groups.Key, cpu time.Duration) {
	j.Look(at, 0, func(k groups.Key) (time.Duration, Found) {
		if k != key {
			return 0, Ending
		}
		return cpu, Standing
	})
}

// later steps to a time when every patience is over.
func later(j *Join, d time.Duration) { j.Step(now+clock.Boot(d), giveUp) }

func TestDeath(t *testing.T) {
	onlyLine := bill{30 * ms, 3010 * ms, 90, 0, 1, 1, [3]uint64{0, 0, 1}}
	withTS := bill{38 * ms, 3010 * ms, 91, 4096, 1, 1, [3]uint64{0, 1, 0}}
	withEx := bill{36 * ms, 3010 * ms, 95, 8192, 1, 1, [3]uint64{1, 0, 0}}
	for _, c := range []struct {
		name        string
		expectExact bool
		story       func(j *Join)
		want        bill
		reported    time.Duration
		joined      Joined
	}{
		{"line alone", false, func(j *Join) { j.Line(&line, life, true, now) },
			onlyLine, 30 * ms, Joined{Ledger: 1}},
		{"taskstats, then line", false, func(j *Join) { j.Precise(&ts, now); j.Line(&line, life, true, now) },
			withTS, 38 * ms, Joined{Taskstats: 1}},
		{"exact before the line", true, func(j *Join) {
			j.Precise(&ts, now)
			j.Precise(&ex, now)
			j.Line(&line, life, true, now)
		}, withEx, 36 * ms, Joined{Exact: 1}},
		{"exact after the line", true, func(j *Join) {
			j.Precise(&ts, now)
			j.Line(&line, life, true, now)
			j.Precise(&ex, now)
		}, withEx, 36 * ms, Joined{Exact: 1}},
		{"exact without taskstats", true, func(j *Join) { j.Line(&line, life, true, now); j.Precise(&ex, now) },
			withEx, 36 * ms, Joined{Exact: 1}},
		{"waiting for exact: no more than is sure", true, func(j *Join) { j.Precise(&ts, now); j.Line(&line, life, true, now) },
			bill{35 * ms, 3010 * ms, 91, 4096, 1, 1, [3]uint64{0, 1, 0}}, 35 * ms, Joined{}},
		{"waiting for exact without taskstats", true, func(j *Join) { j.Line(&line, life, true, now) },
			bill{0, 3010 * ms, 0, 0, 1, 1, [3]uint64{0, 0, 1}}, 0, Joined{}},
		{"exact lost", true, func(j *Join) { j.Precise(&ts, now); j.Line(&line, life, true, now); later(j, 2*time.Second) },
			withTS, 38 * ms, Joined{Taskstats: 1}},
		{"exact and taskstats lost", true, func(j *Join) { j.Line(&line, life, true, now); later(j, 2*time.Second) },
			onlyLine, 30 * ms, Joined{Ledger: 1}},
		{"taskstats after the line", true, func(j *Join) {
			j.Line(&line, life, true, now)
			j.Precise(&ts, now)
			later(j, 2*time.Second)
		}, withTS, 38 * ms, Joined{Taskstats: 1}},
		{"exact too late: nothing is taken back", true, func(j *Join) {
			j.Precise(&ts, now)
			j.Line(&line, life, true, now)
			later(j, 2*time.Second)
			j.Precise(&ex, now+3*sec)
		}, bill{38 * ms, 3010 * ms, 95, 8192, 1, 1, [3]uint64{0, 1, 0}}, 36 * ms, Joined{Taskstats: 1, Late: 1}}, // what was billed was sampled
		{"exact very late: no more is known of the death", true, func(j *Join) {
			j.Precise(&ts, now)
			j.Line(&line, life, true, now)
			later(j, 2*time.Second)
			later(j, j.OpenFor+3*time.Second)
			j.Precise(&ex, now)
			later(j, time.Hour)
		}, withTS, 38 * ms, Joined{Taskstats: 1, Unmatched: 1}},
		{"a zombie: its clock stands still", true, func(j *Join) {
			j.Precise(&ts, now)
			j.Line(&line, life, true, now)
			standing(j, now, life.Key(), 36*ms)
			standing(j, now, life.Key(), 99*ms)
			standing(j, now, groups.Key{PID: 10}, 99*ms)
			later(j, 3*time.Second)
		}, bill{36 * ms, 3010 * ms, 91, 4096, 1, 1, [3]uint64{1, 0, 0}}, 36 * ms, Joined{Exact: 1}},
		{"a zombie that is waited for after a minute", true, func(j *Join) {
			j.Line(&line, life, true, now)
			standing(j, now, life.Key(), 36*ms)
			later(j, time.Minute)
			j.Precise(&ex, now+60*sec)
		}, withEx, 36 * ms, Joined{Exact: 1}},
		{"a second line of one that switched accounting", false, func(j *Join) {
			j.Line(&line, life, true, now)
			again := life
			again.Recorded = true
			j.Line(&line, again, true, now)
		}, onlyLine, 30 * ms, Joined{Ledger: 1, Duplicate: 1}},
		{"records come twice", true, func(j *Join) {
			j.Precise(&ts, now)
			j.Precise(&ts, now)
			j.Precise(&ex, now)
			j.Line(&line, life, true, now)
			j.Precise(&ex, now)
			later(j, 11*time.Second)
		}, withEx, 36 * ms, Joined{Exact: 1, Unmatched: 2}},
		{"a line of nobody known", true, func(j *Join) {
			j.Precise(&ts, now)
			j.Line(&line, groups.Life{Set: 5}, false, now)
			j.Precise(&ex, now) // its start is known to the second only
		}, withEx, 36 * ms, Joined{Exact: 1, Unknown: 1}},
		{"a line of nobody known, exact first", true, func(j *Join) {
			j.Precise(&ex, now)
			j.Line(&line, groups.Life{Set: 5}, false, now)
		}, withEx, 36 * ms, Joined{Exact: 1, Unknown: 1}},
		{"accounting is off", false, func(j *Join) { j.Precise(&ts, now); j.Unledgered(life, now) },
			bill{38 * ms, 3000 * ms, 91, 4096, 1, 1, [3]uint64{0, 1, 0}}, 38 * ms, Joined{Taskstats: 1, NoLine: 1}},
		{"accounting is off, exact later", true, func(j *Join) { j.Unledgered(life, now); j.Precise(&ex, now) },
			bill{36 * ms, 2998 * ms, 95, 8192, 1, 1, [3]uint64{1, 0, 0}}, 36 * ms, Joined{Exact: 1, NoLine: 1}},
		{"accounting is off, the wall clock was set back by an hour", false, func(j *Join) {
			j.Precise(&ts, life.Exit)
			j.Booted -= 3600 * sec
			j.Unledgered(life, now)
		}, bill{38 * ms, 3000 * ms, 91, 4096, 1, 1, [3]uint64{0, 1, 0}}, 38 * ms, Joined{Taskstats: 1, NoLine: 1}},
		{"accounting is off, a record of a later life as long as this one", false, func(j *Join) {
			other := ts
			other.Begin += 5
			j.Precise(&other, life.Exit+5*sec)
			j.Unledgered(life, now)
		}, bill{0, 2998 * ms, 0, 0, 1, 0, [3]uint64{0, 0, 1}}, 0, Joined{NoLine: 1, Unmatched: 1}},
		{"no record at all", false, func(j *Join) { j.Unledgered(life, now) },
			bill{0, 2998 * ms, 0, 0, 1, 0, [3]uint64{0, 0, 1}}, 0, Joined{NoLine: 1}},
		{"records of another life of the pid", false, func(j *Join) {
			other, otherEx := ts, ex
			other.Begin += 3
			otherEx.Start += 53 * int64(ms)
			j.Precise(&other, now)
			j.Precise(&otherEx, now)
			j.Line(&line, life, true, now)
		}, onlyLine, 30 * ms, Joined{Ledger: 1, Unmatched: 2}},
		{"two deaths of a pid within the second: each its own", false, func(j *Join) {
			second := ts
			second.CPU, second.User, second.System, second.Runtime = 400*ms, 160*ms, 240*ms, 400*ms
			j.Precise(&ts, now)
			j.Precise(&second, now)
			j.Line(&line, life, true, now)
			other := life
			other.Start, other.Set = stamped(life.Start.Boot()+400e6), 6
			j.Line(&line, other, true, now)
		}, withTS, 438 * ms, Joined{Taskstats: 2}},
		{"not expected any more", true, func(j *Join) {
			j.Precise(&ts, now)
			j.Line(&line, life, true, now)
			j.ExpectExact = false
			j.Step(now, giveUp)
		}, withTS, 38 * ms, Joined{Taskstats: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := newTestJoin(c.expectExact)
			c.story(j)
			if diff := cmp.Diff(c.want, billOf(j.Total(5))); diff != "" {
				t.Errorf("bill (-want +got):\n%s", diff)
			}
			if j.Reported != c.reported {
				t.Errorf("reported %v, want %v", j.Reported, c.reported)
			}
			settled := j.Joined
			later(j, time.Hour)
			later(j, 2*time.Hour)
			settled.Unmatched = j.Joined.Unmatched
			if diff := cmp.Diff(c.joined, settled); diff != "" {
				t.Errorf("joined (-want +got):\n%s", diff)
			}
			checkEmpty(t, j)
		})
	}
}

// checkEmpty fails when a join keeps anything of processes that are over.
func checkEmpty(t reporter, j *Join) {
	t.Helper()
	for what, n := range map[string]int{
		"open": len(j.open), "opened": j.opened, "accounts": len(j.accounts),
		"held": j.precise.count, "held pids": len(j.precise.head), "billed": int(j.billed),
	} {
		if n != 0 {
			t.Errorf("%s: %d are left, want none", what, n)
		}
	}
	for set := range j.live {
		if j.live[set][MaxRSS] = 0; j.live[set] != (Measure{}) {
			t.Errorf("set %d shows live usage: %+v", set, j.live[set])
		}
	}
	if n := unsettled(j, 1<<62); n != 0 {
		t.Errorf("%d deaths are unsettled", n)
	}
}

func unsettled(j *Join, before clock.Boot) int {
	n := 0
	j.Unsettled(before, func(groups.Key, groups.SetID) bool { n++; return true })
	return n
}

// reporter is what testing.T and rapid.T have in common.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
}

func TestUnsettled(t *testing.T) {
	j := newTestJoin(true)
	other := life
	other.PID = 11
	j.Line(&line, life, true, now)
	l := line
	l.PID = 11
	j.Line(&l, other, true, now+1)
	for _, c := range []struct {
		before clock.Boot
		want   int
	}{{now - 1, 0}, {now, 1}, {now + 1, 2}} {
		if n := unsettled(j, c.before); n != c.want {
			t.Errorf("Unsettled(%d) = %d, want %d", c.before, n, c.want)
		}
	}
	j.Unsettled(now+1, func(k groups.Key, set groups.SetID) bool {
		if k.PID < 10 || k.PID > 11 || k.Start != life.Start || set != 5 {
			t.Errorf("Unsettled told of %+v in set %d", k, set)
		}
		n := 0
		j.Unsettled(now+1, func(groups.Key, groups.SetID) bool { n++; return false })
		if n != 1 {
			t.Errorf("Unsettled went on %d times after it was told to stop", n-1)
		}
		return true
	})
	j.Precise(&ex, now)
	later(j, 2*time.Second)
	if n := unsettled(j, now+1); n != 1 {
		t.Errorf("Unsettled = %d, want 1", n)
	}
	later(j, 3*time.Second)
	if n := unsettled(j, now+1); n != 0 {
		t.Errorf("Unsettled = %d, want 0", n)
	}
}

func TestSampledCPU(t *testing.T) {
	j := newTestJoin(false)
	for _, c := range []struct{ ticks, runtime, want time.Duration }{
		{0, 0, 0},
		{4, 1, 4}, // short: the ticks stand
		{0, 9, 0},
		{40, 38, 40}, // within a tick
		{36, 38, 38}, // not below the runtime
		{60, 38, 42}, // not above a tick more
	} {
		r := acct.Record{User: c.ticks * ms / 2, System: c.ticks * ms / 2, Runtime: c.runtime * ms}
		if got := j.sampledCPU(&r); got != c.want*ms {
			t.Errorf("ticks of %d ms, runtime %d ms: %v, want %d ms", c.ticks, c.runtime, got, c.want)
		}
	}
}

// TestOrphan lets a record without a line find its life after all.
func TestOrphan(t *testing.T) {
	j := newTestJoin(false)
	j.Precise(&ts, now)
	j.Step(now+10*sec, func(*acct.Record) { t.Error("asked too early") })
	asked := 0
	orphan := func(r *acct.Record) {
		asked++
		j.Unledgered(life, now+11*sec)
	}
	j.Step(now+11*sec, orphan)
	j.Step(now+30*sec, orphan)
	if asked != 1 || j.Total(5)[Sampled] != 1 || j.Joined.Unmatched != 0 {
		t.Errorf("asked %d times, %+v, %+v", asked, j.Total(5), j.Joined)
	}
	checkEmpty(t, j)
}

// TestOrphans lets all records of a death without a line find it: that of taskstats
// says what was written, the exact one what CPU it used.
func TestOrphans(t *testing.T) {
	j := newTestJoin(true)
	j.Precise(&ts, now)
	j.Precise(&ex, now)
	there := true
	j.Step(now+11*sec, func(*acct.Record) {
		if there {
			j.Unledgered(life, now+11*sec)
		}
		there = false
	})
	u := j.Total(5)
	if u[Ended] != 1 || u[Exact] != 1 || u.CPU() != ex.CPU || j.Joined.Unmatched != 0 {
		t.Errorf("%+v, %+v", billOf(u), j.Joined)
	}
	checkEmpty(t, j)
}

// TestOpenBounded checks that deaths whose exact record never comes do not pile
// up.
func TestOpenBounded(t *testing.T) {
	j := newTestJoin(true)
	n := maxOpen + 1000
	for i := range n {
		l, r := life, line
		l.PID, r.PID = int32(i+1), int32(i+1)
		r.Begin = (now+wall)/sec - 3 // it ends now
		j.Line(&r, l, true, now)
	}
	if got := unsettled(j, now); got != n {
		t.Fatalf("%d are unsettled, want %d: none may be given up before Patience is over", got, n)
	}
	later(j, 3*time.Second)
	if j.opened > maxOpen || len(j.idle) > maxIdle {
		t.Errorf("%d deaths are open, %d idle; want at most %d, %d", j.opened, len(j.idle), maxOpen, maxIdle)
	}
	if u := j.Total(5); u[Ended] != uint64(n) || u.CPU() != time.Duration(n)*30*ms {
		t.Errorf("%d deaths, %v CPU", u[Ended], u.CPU())
	}
}

// A backlog of millions of lines is not held for exact records that have passed;
// what died just now waits all the same.
func TestBacklogIsNotHeld(t *testing.T) {
	j := newTestJoin(true)
	line := line
	for i := range maxOpen + 1000 {
		line.PID = int32(100 + i)
		j.Line(&line, groups.Life{Set: 5}, false, now+60*sec)
	}
	if j.opened != maxOpen {
		t.Errorf("%d deaths are open, want %d", j.opened, maxOpen)
	}
	u := j.Total(5)
	if u[Ended] != maxOpen+1000 || time.Duration(u[User]) != 1000*line.User { // those that wait are charged what is sure
		t.Errorf("%+v", u)
	}
	line.PID, line.Begin = 99, (now+59*sec+wall)/sec
	j.Line(&line, groups.Life{Set: 6}, false, now+60*sec)
	ex := acct.Record{Source: acct.Exact, PID: 99, Start: now + 59*sec, User: time.Second, CPU: time.Second}
	j.Precise(&ex, now+60*sec)
	if u := j.Total(6); time.Duration(u[User]) != time.Second || u[Exact] != 1 {
		t.Errorf("of the latest: %+v", u)
	}
	later(j, time.Hour)
	if u := j.Total(5); time.Duration(u[User]) != (maxOpen+1000)*line.User {
		t.Errorf("in the end: user %v, want %v", time.Duration(u[User]), (maxOpen+1000)*line.User)
	}
}

// Only taskstats tells how long a process waited for a CPU: its bill has that
// whatever other records come.
func TestCPUDelay(t *testing.T) {
	delayed := ts
	delayed.CPUDelay = 70 * ms
	for _, exact := range []bool{false, true} {
		j := newTestJoin(exact)
		j.Precise(&delayed, now)
		j.Line(&line, life, true, now)
		if exact {
			j.Precise(&ex, now)
		}
		later(j, 3*time.Second)
		if u := j.Total(5); time.Duration(u[CPUDelay]) != 70*ms || u[Exact] != map[bool]uint64{true: 1}[exact] {
			t.Errorf("exact %v: waited %v; want 70ms; %d exact", exact, time.Duration(u[CPUDelay]), u[Exact])
		}
	}
}
