// SPDX-License-Identifier: Apache-2.0

package clock

import (
	"math"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

const (
	ms  = time.Millisecond
	sec = time.Second
)

// seen draws what a source of grain g tells of a process that began at t. It knows
// the kernel, and nothing of the table.
func seen(t *rapid.T, at Boot, g Grain) Start {
	late := func(most time.Duration) Boot { return at + Boot(rapid.Int64Range(0, int64(most)).Draw(t, "late")) }
	switch g {
	case Exact:
		return At(at, Exact)
	case Stamped:
		return At(late(50*ms)+Boot(rapid.Int64Range(-2e5, 2e5).Draw(t, "skew")), Stamped)
	case Read:
		return At(late(sec), Read)
	case Tick:
		return At(at-at%1e7, Tick)
	default:
		// kernel/acct.c, fill_ac, at death. The coarse clock lags by a tick.
		const booted = 1_700_000_000e9
		lived := rapid.Int64Range(0, 1e12).Draw(t, "lived")
		now := int64(at) + lived + booted - rapid.Int64Range(0, 1e7).Draw(t, "lag")
		step := rapid.Int64Range(-5e8, 5e8).Draw(t, "step")
		return Begun(now/1e9-lived/1e9, Wall(booted+step))
	}
}

func anyGrain(t *rapid.T, name string) Grain {
	return Grain(rapid.IntRange(int(Exact), int(Second)).Draw(t, name))
}

func anyBoot(t *rapid.T, name string) Boot {
	return Boot(rapid.Int64Range(0, 1e15).Draw(t, name))
}

// What the kernel can tell of one process is the same process, whoever asks.
func TestModelSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := anyBoot(t, "start")
		a := seen(t, at, anyGrain(t, "a"))
		g := anyGrain(t, "b")
		b := seen(t, at, g)
		switch {
		case g != a.Grain():
		case g == Second: // both parts are cut, moments later
			b = a.plus(time.Duration(rapid.Int64Range(-1, 1).Draw(t, "cut")) * sec)
		default:
			b = a // told once, or cut in the same way
		}
		if !a.Same(a) || !a.Same(b) || !b.Same(a) {
			t.Fatalf("a process that began at %d is told as %v and %v: not the same", at, a, b)
		}
		// What began a while later, once the first ran, may be its child.
		child := at + Boot(rapid.Int64Range(0, 3e9).Draw(t, "after"))
		if a.Grain() == Stamped {
			child = max(child, a.Boot()+Boot(skew)) // it runs once its event is sent
		}
		c := seen(t, child, anyGrain(t, "child"))
		if a.Grain() == Read && c.Grain() == Read {
			c = At(max(c.Boot(), a.Boot()), Read) // read in order
		}
		if !a.MayFork(c) {
			t.Fatalf("%v cannot have forked %v", a, c)
		}
		exit := child + Boot(rapid.Int64Range(0, 1e12).Draw(t, "exit"))
		if !a.MayForkBefore(0, c) || !a.MayForkBefore(exit, c) {
			t.Fatalf("%v, which ended at %d, cannot have forked %v", a, exit, c)
		}
		if !c.MayBeToldSince(child) {
			t.Fatalf("%v cannot have been told since %d", c, child)
		}
		lived := time.Duration(exit - at)
		for _, end := range []Boot{a.EndOf(lived, false), a.EndOf(lived/1e7*1e7, true)} {
			if end < exit {
				t.Fatalf("%v, which lived for %v, ended by %d, before %d", a, lived, end, exit)
			}
		}
	})
}

// Two starts are the same only within the table, and either way round.
func TestModelApart(t *testing.T) {
	most := map[[2]Grain]time.Duration{
		{Exact, Stamped}: 50*ms + 200*time.Microsecond, {Exact, Read}: sec, {Exact, Tick}: 10*ms - 1, {Exact, Second}: 2 * sec,
		{Stamped, Read}: sec + 200*time.Microsecond, {Stamped, Tick}: 60*ms + 200*time.Microsecond - 1,
		{Stamped, Second}: 2*sec + 50*ms + 200*time.Microsecond, {Read, Tick}: sec + 10*ms - 1, {Read, Second}: 3 * sec,
		{Tick, Second}: 2*sec + 10*ms - 1, {Second, Second}: 2 * sec,
	} // any other pair: identical
	rapid.Check(t, func(t *rapid.T) {
		g, h := anyGrain(t, "a"), anyGrain(t, "b")
		limit := most[[2]Grain{min(g, h), max(g, h)}]
		at := anyBoot(t, "at")
		d := rapid.OneOf(rapid.Int64Range(-5e9, 5e9), rapid.Int64Range(-1e8, 1e8), rapid.Int64Range(-3, 3),
			rapid.Map(rapid.Int64Range(-2, 2), func(n int64) int64 { return int64(limit) + n })).Draw(t, "apart")
		a, b := At(at, g), At(at+Boot(d), h)
		if a.Same(b) != b.Same(a) {
			t.Fatalf("Same is not symmetric: %v, %v", a, b)
		}
		if a.Same(b) && a.Apart(b) > limit {
			t.Fatalf("%v and %v are the same, %v apart; want at most %v", a, b, a.Apart(b), limit)
		}
		if g == h && g != Second && a.Same(b) != (a == b) {
			t.Fatalf("%v and %v: Same is %v", a, b, a.Same(b))
		}
		if !a.Same(b) && !a.MayFork(b) && !b.MayFork(a) {
			t.Fatalf("neither of %v and %v can be the older one", a, b)
		}
	})
}

func TestStart(t *testing.T) {
	if n := unsafe.Sizeof(Start(0)); n != 8 {
		t.Errorf("a Start takes %d bytes, want 8", n)
	}
	var none Start
	some := At(0, Tick)
	if none.Known() || none.Same(none) || none.Same(some) || some.Same(none) || none.MayFork(some) || some.MayFork(none) {
		t.Error("a start that is not known is the same as one")
	}
	if !some.Known() || !some.Same(some) {
		t.Error("a process that began at boot is not known")
	}
	for _, g := range []Grain{Exact, Stamped, Read, Tick, Second} {
		for _, at := range []Boot{0, 1, -1, 5e9, maxStart, -maxStart} {
			if s := At(at, g); s.Boot() != at || s.Grain() != g {
				t.Errorf("At(%d, %v) = %v", at, g, s)
			}
		}
		if s := At(math.MaxInt64, g); s.Boot() != maxStart || s.Grain() != g {
			t.Errorf("At(far, %v) = %v", g, s)
		}
		if s := At(math.MinInt64, g); s.Boot() != -maxStart || s.Grain() != g {
			t.Errorf("At(long ago, %v) = %v", g, s)
		}
	}
	for g := Second + 1; g <= grainMask; g++ { // a damaged value
		if s := At(5, g); s.Known() || s.Same(s) || s.EndOf(1, true) == 0 {
			t.Errorf("%v is known", s)
		}
	}
	for _, begin := range []int64{math.MinInt64, -1, 1<<32 - 1, math.MaxInt64} {
		if s := Begun(begin, 1.7e18); s.Grain() != Second || (s.Boot() < 0) != (begin < 1.7e9) {
			t.Errorf("Begun(%d) = %v", begin, s)
		}
	}
}

// The bounds of each pair of grains, from both sides: d is how much later the
// first is told.
func TestSame(t *testing.T) {
	for _, tt := range []struct {
		a, b Grain
		d    time.Duration
		want bool
	}{
		{Exact, Exact, 0, true}, {Exact, Exact, 1, false},
		{Stamped, Stamped, 1, false}, {Read, Read, 1, false}, {Tick, Tick, 10 * ms, false}, {Tick, Tick, 0, true},
		{Stamped, Exact, 50 * ms, true}, {Stamped, Exact, 51 * ms, false}, {Stamped, Exact, -100 * time.Microsecond, true}, {Stamped, Exact, -ms, false},
		{Tick, Exact, 0, true}, {Tick, Exact, 1, false}, {Tick, Exact, -10*ms + 1, true}, {Tick, Exact, -10 * ms, false},
		{Stamped, Tick, 59 * ms, true}, {Stamped, Tick, 61 * ms, false}, {Stamped, Tick, -100 * time.Microsecond, true}, {Stamped, Tick, -ms, false},
		{Read, Tick, sec, true}, {Read, Tick, sec + 10*ms, false}, {Read, Tick, -1, false},
		{Second, Second, 2 * sec, true}, {Second, Second, 3 * sec, false},
		{Second, Exact, 2 * sec, true}, {Second, Exact, -2 * sec, true}, {Second, Exact, 2*sec + 1, false}, {Second, Exact, -2*sec - 1, false},
		{Second, Tick, 2 * sec, true}, {Second, Tick, -2*sec - 10*ms, false},
	} {
		if got := At(5e12, tt.a).Same(At(5e12, tt.b).plus(-tt.d)); got != tt.want {
			t.Errorf("%v told %v after %v: same is %v", tt.a, tt.d, tt.b, got)
		}
	}
}

func (s Start) plus(d time.Duration) Start { return At(s.Boot().Add(d), s.Grain()) }

func TestMayFork(t *testing.T) {
	for _, tt := range []struct {
		parent, child Grain
		d             time.Duration // parent after child
		want          bool
	}{
		{Stamped, Stamped, 0, true}, {Stamped, Stamped, 1, false}, {Read, Read, 1, false}, {Tick, Tick, 0, true}, {Tick, Tick, 10 * ms, false},
		{Tick, Stamped, 0, true}, {Tick, Stamped, ms, false}, {Tick, Exact, 1, false},
		{Stamped, Tick, 10 * ms, true}, {Stamped, Tick, 11 * ms, false}, {Stamped, Exact, ms, false},
		{Exact, Tick, 10*ms - 1, true}, {Exact, Tick, 10 * ms, false},
		{Stamped, Second, 2 * sec, true}, {Stamped, Second, 2*sec + ms, false},
		{Read, Tick, sec, true}, {Read, Tick, sec + 10*ms, false},
	} {
		if got := At(5e12, tt.parent).MayFork(At(5e12, tt.child).plus(-tt.d)); got != tt.want {
			t.Errorf("parent %v, told %v after child %v: may fork is %v", tt.parent, tt.d, tt.child, got)
		}
	}
	p := At(5e12, Tick)
	if p.MayForkBefore(6e12, At(6e12+1e8, Stamped)) || !p.MayForkBefore(6e12, At(6e12, Stamped)) || p.MayForkBefore(6e12, At(6e12+1e7, Tick)) {
		t.Error("what ended may have forked after, or not before")
	}
	if s := At(5e12, Tick); s.MayBeToldSince(5e12+61e6) || !s.MayBeToldSince(5e12+59e6) {
		t.Error("the event of a process may be told 60 ms after /proc's start")
	}
}
