// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"testing"
	"time"

	"elsa/internal/store"
	"elsa/internal/tally"
	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/cnfork"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/usage"
)

// lineOf is the ledger line of a process as the kernel writes it when the machine
// has been asleep for so long of its life: at death, by the wall clock of then.
func lineOf(pid, ppid int32, start clock.Boot, asleep time.Duration, death Now) acct.Record {
	lived := death.Boot.Sub(start) - asleep
	return acct.Record{
		Source: acct.BSD, Whole: true, PID: pid, PPID: ppid, Elapsed: lived.Truncate(10 * time.Millisecond),
		Begin: death.Wall.Unix() - int64(lived/time.Second), CPU: time.Second, User: time.Second,
	}
}

// ended counts the deaths on the bill of a group, and those that are unattributed.
func ended(t *testing.T, e *Engine, g *groups.Group) (in, out uint64) {
	t.Helper()
	return e.join.Total(e.tracker.Sets.Only(g.ID))[usage.Ended], e.join.Total(groups.Unattributed)[usage.Ended]
}

func fork(parent, pid int32, at clock.Mono) []cnfork.Event {
	return []cnfork.Event{{Kind: cnfork.Fork, PID: pid, TGID: pid, ParentPID: parent, ParentTGID: parent, Time: at}}
}

func exit(pid int32, at clock.Mono) []cnfork.Event {
	return []cnfork.Event{{Kind: cnfork.Exit, PID: pid, TGID: pid, Time: at}}
}

// A member is forked, the machine sleeps an hour, and it ends after ten seconds of
// life. Its line counts those alone, and so tells a begin that is an hour late. It
// is one death, with its line, whatever came before it: the exit, or not yet.
func TestSuspendedLife(t *testing.T) {
	const asleep, lived = time.Hour, 10 * time.Second
	for name, exits := range map[string]bool{"exit first": true, "line first": false} {
		t.Run(name, func(t *testing.T) {
			now := at(time.Hour)
			e := newEngine(t, newMachine(), now)
			e.options.Ledger = true
			g, err := e.MakeGroup("g", 0, nil, now)
			if err != nil {
				t.Fatal(err)
			}
			const pid = 4000
			start := now.Boot
			e.Events(fork(1, pid, clock.Mono(start)), 0, 0, now)
			e.tracker.Add(pid, g.ID, false)
			death := now.after(asleep + lived)
			e.SetClocks(death, asleep, 0)
			gone := exit(pid, clock.Mono(death.Boot)-clock.Mono(asleep))
			if exits {
				e.Events(gone, 0, 0, death)
			}
			line := lineOf(pid, 1, start, asleep, death)
			stats := line
			stats.Source, stats.Runtime = acct.Taskstats, time.Second
			e.Taskstats([]acct.Record{stats}, 0, 0, death)
			e.Exact([]acct.Record{{Source: acct.Exact, Whole: true, PID: pid, Start: int64(start), CPU: time.Second, User: time.Second}}, 0, 0, death)
			e.Lines([]acct.Record{line}, nil, death)
			if !exits {
				e.Events(gone, 0, 0, death)
			}
			for range 4 {
				e.EndStep(death)
			}
			in, out := ended(t, e, g)
			if in != 1 || out != 0 || e.join.Joined != (usage.Joined{Exact: 1}) || e.counts[tally.Missing] != 0 || e.Held() != 0 {
				t.Errorf("%d ended in the group and %d unattributed, joined %+v, %d without a line, %d records left; want 1 exact and no more",
					in, out, e.join.Joined, e.counts[tally.Missing], e.Held())
			}
		})
	}
}

// Events that wait when the machine wakes up are stamped by CLOCK_MONOTONIC, which
// stood still. Those from before the sleep and from after it get their own start.
func TestSuspendedEvents(t *testing.T) {
	const asleep = time.Hour
	now := at(time.Hour)
	m := newMachine()
	e := newEngine(t, m, now)
	before, frozen, after := now.after(-time.Second), now.after(10*time.Millisecond), now.after(asleep+20*time.Millisecond)
	var events []cnfork.Event
	for pid, n := range map[int32]Now{10: before, 11: frozen, 12: after} {
		mono := clock.Mono(n.Boot)
		if n == after {
			mono -= clock.Mono(asleep)
		}
		events = append(events, fork(1, pid, mono)...)
		m.procs[pid] = &proc.Process{PID: pid, PPID: 1, Start: clock.At(n.Boot, clock.Tick), State: 'S', Threads: 1}
	}
	woke := now.after(asleep + 100*time.Millisecond)
	e.SetClocks(woke, asleep, 0)
	e.Events(events, 0, 0, woke)
	for pid, p := range m.procs {
		if l, ok := e.tracker.Live(pid); !ok || !l.Start.Same(p.Start) {
			t.Errorf("process %d is known as of %v, %v; it began at %v", pid, l.Start, ok, p.Start)
		}
	}
}

// What members did while the service was down is theirs, whatever the wall clock
// was set to meanwhile, also there and back.
func TestClockSetWhileDown(t *testing.T) {
	for name, set := range map[string]struct{ meanwhile, then time.Duration }{
		"not set": {0, 0}, "ahead after": {0, time.Hour}, "back after": {0, -time.Hour}, "ahead before": {time.Hour, time.Hour},
		"back before": {-time.Hour, -time.Hour}, "there and back": {time.Hour, 0}, "back and forth": {-time.Hour, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			now := at(time.Hour)
			db := openStore(t)
			m := newMachine()
			m.procs[1] = &proc.Process{PID: 1, Start: clock.At(1e9, clock.Tick), State: 'S', Threads: 1}
			e := newEngine(t, m, now)
			e.Load(&store.State{Meta: store.Meta{NextGroup: 1}}, "boot", now)
			g, err := e.MakeGroup("g", 0, nil, now)
			if err != nil {
				t.Fatal(err)
			}
			if err := e.Scan(now); err != nil {
				t.Fatal(err)
			}
			add := func(pid int32) {
				m.procs[pid] = &proc.Process{PID: pid, PPID: 1, Start: clock.At(now.Boot, clock.Tick), State: 'S', Threads: 1}
				e.Events(fork(1, pid, clock.Mono(now.Boot)), 0, 0, now)
				e.tracker.Add(pid, g.ID, false)
			}
			add(100)
			add(101)
			now = now.after(time.Minute)
			e.SetClocks(now, 0, 0)
			e.Applied(now.Boot)
			save(t, db, e, now)

			// 101 and 20 children of 100 end; 200 began before, and is no member.
			later := now.after(30 * time.Second)
			later.Wall = later.Wall.Add(set.meanwhile)
			lines := []acct.Record{lineOf(101, 1, now.Boot.Add(-time.Minute), 0, later), lineOf(200, 1, now.Boot.Add(-time.Hour/2), 0, later)}
			for pid := range int32(20) {
				lines = append(lines, lineOf(300+pid, 100, later.Boot.Add(-time.Second), 0, later))
			}
			delete(m.procs, 101)

			now = now.after(time.Minute)
			now.Wall = now.Wall.Add(set.then)
			st, err := db.Load()
			if err != nil {
				t.Fatal(err)
			}
			e = newEngine(t, m, now)
			if e.Load(st, "boot", now) {
				t.Fatal("taken for another boot")
			}
			if err := e.GoOn(st, now); err != nil {
				t.Fatal(err)
			}
			placing := e.Place()
			backward := slices.Clone(lines)
			slices.Reverse(backward)
			placing.Backward(backward)
			e.Lines(lines, placing, now)
			for range 4 {
				e.EndStep(now)
			}
			in, out := ended(t, e, e.Group("g"))
			// By a setting that is known, it is known that 200 was no member.
			none, known := e.join.Total(groups.Ungrouped)[usage.Ended], set.meanwhile == 0 || set.meanwhile == set.then
			if in != 21 || out+none != 1 || (none == 1) != known {
				t.Errorf("%d ended in the group, %d ungrouped, %d unattributed; want 21 and 200 alone in neither, ungrouped %v", in, none, out, known)
			}
		})
	}
}

// A line whose life time was less than nothing is that of the life that ended at
// once, not of an earlier one of the pid, and counts once.
func TestLineWithoutBegin(t *testing.T) {
	for name, exits := range map[string]bool{"exit first": true, "line first": false} {
		t.Run(name, func(t *testing.T) {
			now := at(time.Hour)
			e := newEngine(t, newMachine(), now)
			g, _ := e.MakeGroup("g", 0, nil, now)
			const pid = 4000
			e.Events(fork(1, pid, clock.Mono(now.Boot)), 0, 0, now)
			e.tracker.Add(pid, g.ID, false)
			if exits {
				e.Events(exit(pid, clock.Mono(now.Boot)), 0, 0, now)
			}
			line := acct.Record{Source: acct.BSD, Whole: true, PID: pid, PPID: 1}
			e.Lines([]acct.Record{line}, nil, now)
			if !exits {
				e.Events(exit(pid, clock.Mono(now.Boot)), 0, 0, now)
			}
			later := now.after(time.Minute)
			e.SetClocks(later, 0, 0)
			for range 4 {
				e.EndStep(later)
			}
			if in, out := ended(t, e, g); in != 1 || out != 0 {
				t.Errorf("%d ended in the group and %d unattributed, want 1 and 0", in, out)
			}
			// Of one that lives for long it is not.
			e.Events(fork(1, pid, clock.Mono(later.Boot)), 0, 0, later)
			later = later.after(time.Minute)
			e.SetClocks(later, 0, 0)
			e.Lines([]acct.Record{line}, nil, later)
			if _, lives := e.tracker.Live(pid); !lives {
				t.Error("a process of a minute was taken for one that ended at once")
			}
		})
	}
}

// A process that got no line has ended, and another gets its pid within the same step
// and lives as long. The line is that of the one that began when it says.
func TestLineOfNextLife(t *testing.T) {
	now := at(time.Hour)
	e := newEngine(t, newMachine(), now)
	e.options.Ledger = true
	g, err := e.MakeGroup("g", 0, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	const pid, lived = 4000, 300 * time.Millisecond
	first, second := now, now.after(20*time.Second)
	death := second.after(lived)
	e.Events(fork(1, pid, clock.Mono(first.Boot)), 0, 0, now)
	e.tracker.Add(pid, g.ID, false)
	e.Events(exit(pid, clock.Mono(first.after(lived).Boot)), 0, 0, death)
	e.Events(fork(1, pid, clock.Mono(second.Boot)), 0, 0, death)
	e.Events(exit(pid, clock.Mono(death.Boot)), 0, 0, death)
	e.Lines([]acct.Record{lineOf(pid, 1, second.Boot, 0, death)}, nil, death)
	// Nobody knows process 1, which forked both.
	if in, out := ended(t, e, g); in != 0 || out != 1 {
		t.Errorf("%d ended in the group and %d out of it, want 0 and 1", in, out)
	}
}

// A fork around a sleep of the machine is taken for one after it, if the process is
// gone. Its exact record has its start, and finds its death even so, before or after
// the event.
func TestExactAroundSleep(t *testing.T) {
	const asleep, pid = time.Hour, 4000
	for name, first := range map[string]bool{"record first": true, "event first": false} {
		t.Run(name, func(t *testing.T) {
			now := at(time.Hour)
			e := newEngine(t, newMachine(), now)
			e.options.ExpectExact, e.join.ExpectExact = true, true
			start := now.after(10 * time.Millisecond)
			e.SetClocks(now, 0, 0)
			woke := now.after(asleep + time.Second)
			e.SetClocks(woke, asleep, 0)
			exact := func() {
				e.Exact([]acct.Record{{Source: acct.Exact, Whole: true, PID: pid, Start: int64(start.Boot), CPU: time.Millisecond}}, 0, 0, woke)
			}
			if first {
				exact()
			}
			e.Events(fork(1, pid, clock.Mono(start.Boot)), 0, 0, woke)
			e.Events(exit(pid, clock.Mono(start.Boot)+1), 0, 0, woke)
			if !first {
				exact()
			}
			for range 4 {
				e.EndStep(woke)
			}
			if e.join.Joined != (usage.Joined{Exact: 1, NoLine: 1}) || e.Held() != 0 {
				t.Errorf("joined %+v, %d records left, want one exact", e.join.Joined, e.Held())
			}
		})
	}
}

// The setting of the clock is stored when it changes, though nothing else did: after a
// crash, lines are told by it.
func TestClockSetIsStored(t *testing.T) {
	now := at(time.Hour)
	e := newEngine(t, newMachine(), now)
	e.SetClocks(now, 0, 0)
	e.Save(newDisk(), &store.Meta{})
	e.Saved(nil)
	if e.Changed() {
		t.Fatal("something changed at once")
	}
	later := now.after(time.Second)
	later.Wall = later.Wall.Add(3 * time.Second)
	e.SetClocks(later, 0, 0)
	if !e.Changed() {
		t.Error("the clock was set, and there is nothing to store")
	}
	e.Save(newDisk(), &store.Meta{})
	e.Saved(nil)
	if e.Changed() {
		t.Error("it was stored, and is to be stored again")
	}
}

// After loss a line may name another parent than the one that forked its process, if
// that one's end is among what was lost.
func TestLineAfterItsParent(t *testing.T) {
	now := at(time.Hour)
	m := newMachine()
	e := newEngine(t, m, now)
	e.options.Ledger = true
	for _, p := range []struct{ pid, ppid int32 }{{1, 0}, {40, 1}, {50, 40}} {
		m.procs[p.pid] = &proc.Process{PID: p.pid, PPID: p.ppid, Start: clock.At(0, clock.Tick), State: 'S', Threads: 1}
	}
	if err := e.Scan(now); err != nil {
		t.Fatal(err)
	}
	e.Lose()
	if err := e.RescanIfLost(now); err != nil {
		t.Fatal(err)
	}
	e.Events(fork(50, 60, clock.Mono(now.Boot)), 0, 0, now)
	death := now.after(time.Second)
	delete(m.procs, 50)
	e.Events(exit(60, clock.Mono(death.Boot)), 0, 0, death)
	e.Lines([]acct.Record{lineOf(60, 1, now.Boot, 0, death)}, nil, death)
	for range 4 {
		e.EndStep(death)
	}
	if n := e.join.Total(groups.Ungrouped)[usage.Ended]; n != 1 || e.join.Joined.Unknown+e.join.Joined.NoLine != 0 {
		t.Errorf("%d ended, joined %+v; want one with its line", n, e.join.Joined)
	}
}

// The wall clock at boot is read anew all the time, with an error of a microsecond now
// and then. Starts that are told by it stay the same, over a restart as well; a step of
// the clock moves them.
func TestSteadyClock(t *testing.T) {
	var c clocks
	now := at(time.Hour)
	first := c.set(now, 0)
	read := func(off time.Duration) Now { return Now{Boot: now.Boot, Wall: now.Wall.Add(off)} }
	for _, off := range []time.Duration{900, -900, 300 * time.Microsecond, -300 * time.Microsecond} {
		if got := c.set(read(off), 0); got != first {
			t.Errorf("a reading that is %v off moves the clock by %v", off, got.Sub(first))
		}
		var next clocks
		next.set(read(off), 0)
		if got := next.resume(clock.Settings{{Booted: first}}); got != first {
			t.Errorf("over a restart, a reading that is %v off moves the clock by %v", off, got.Sub(first))
		}
	}
	for _, off := range []time.Duration{2 * time.Millisecond, -2 * time.Millisecond} {
		if got := c.set(read(off), 0); got.Sub(first) != off {
			t.Errorf("a step of %v moves the clock by %v", off, got.Sub(first))
		}
		c.set(now, 0)
	}
	var next clocks
	next.set(read(time.Minute), 0)
	if got := next.resume(clock.Settings{{Booted: first}}); got.Sub(first) != time.Minute || len(next.booted) != 2 {
		t.Errorf("the clock was set by a minute meanwhile: %v, settings %v", got.Sub(first), next.booted)
	}
	if got := next.resume(nil); got.Sub(first) != time.Minute {
		t.Errorf("without a last run: %v", got.Sub(first))
	}
}
