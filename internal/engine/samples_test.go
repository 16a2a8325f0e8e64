// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"reflect"
	"testing"
	"time"

	"elsa/internal/store"
	"elsa/internal/tally"
	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/usage"
)

// A live sample fills every figure but those that only the end of a process tells,
// and one without I/O is counted.
func TestMeasure(t *testing.T) {
	var s proc.Sample
	v := reflect.ValueOf(&s).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); {
		case f.CanInt():
			f.SetInt(int64(i) + 1)
		case f.CanUint():
			f.SetUint(uint64(i) + 1)
		}
	}
	atEnd := map[usage.Field]bool{usage.Elapsed: true, usage.CPUDelay: true}
	e := &Engine{}
	for f, n := range e.measure(&s) {
		if (n == 0) != atEnd[usage.Field(f)] {
			t.Errorf("%s is %d in a sample of a live process", usage.Field(f).Info().Name, n)
		}
	}
	if n := e.counts[tally.SamplesDenied]; n != 0 {
		t.Errorf("%d samples denied, want none", n)
	}
	s.Denied = true
	e.measure(&s)
	if n := e.counts[tally.SamplesDenied]; n != 1 {
		t.Errorf("%d samples denied, want 1", n)
	}
}

// The clocks of the dead whom nobody waits for stand still, and all are read before
// any estimate is charged, however many there are: the bill is exact, and stays so
// once they are waited for.
func TestUnreaped(t *testing.T) {
	const n, used, ticks = 3000, 2 * time.Millisecond, 4 * time.Millisecond
	now := at(time.Hour)
	m := newMachine()
	e := newEngine(t, m, now)
	var lines, stats, exact []acct.Record
	for i := range int32(n) {
		pid, start := 1000+i, now.Boot
		e.Events(fork(1, pid, clock.Mono(start)), 0, 0, now)
		e.Events(exit(pid, clock.Mono(start)), 0, 0, now)
		m.procs[pid] = &proc.Process{PID: pid, PPID: 1, Start: clock.At(start, clock.Tick), State: 'Z', Threads: 1}
		m.used[pid] = &proc.Sample{CPU: used, User: used, Dead: true}
		line := lineOf(pid, 1, start, 0, now)
		line.CPU, line.User = 0, 0
		lines = append(lines, line)
		line.Source, line.CPU, line.User, line.Runtime = acct.Taskstats, ticks, ticks, time.Millisecond
		stats = append(stats, line)
		exact = append(exact, acct.Record{Source: acct.Exact, Whole: true, PID: pid, Start: int64(start), CPU: used, User: used})
	}
	e.Taskstats(stats, 0, 0, now)
	e.Lines(lines, nil, now)
	check := func(when string, sure bool) {
		t.Helper()
		s, err := e.Snapshot(usage.Service{}, now)
		if err != nil {
			t.Fatal(err)
		}
		if cpu := s.Total.CPU(); cpu > n*used || sure && (cpu != n*used || s.Total[usage.Exact] != n || s.Settled != usage.Settled{Exact: n}) {
			t.Errorf("%s: %v billed, %d exact, settled %+v; want %v exactly", when, cpu, s.Total[usage.Exact], s.Settled, n*used)
		}
	}
	for range 20 {
		now = now.after(time.Second)
		e.SetClocks(now, 0, 0)
		e.EndStep(now)
		check("unreaped", false)
	}
	check("all read", true)
	e.Exact(exact, 0, 0, now)
	check("waited for", true)
}

// What an unattributed process used is shown there, and stays there when it turns out
// to be in no group: the account of it is stored.
func TestAccountOfUnattributed(t *testing.T) {
	now := at(time.Hour)
	m := newMachine()
	e := newEngine(t, m, now)
	m.procs[1] = &proc.Process{PID: 1, Start: clock.At(0, clock.Tick), State: 'S', Threads: 1}
	if err := e.Scan(now); err != nil {
		t.Fatal(err)
	}
	start := clock.At(now.Boot, clock.Exact)
	e.tracker.ForkOf(groups.Key{PID: 50, Start: start}, 60, start) // nobody knows 50
	m.procs[60] = &proc.Process{PID: 60, PPID: 50, Start: start, State: 'S', Threads: 1}
	k := groups.Key{PID: 60, Start: start}
	e.TakeSample(k, &proc.Sample{CPU: time.Second, User: time.Second})
	d := newDisk()
	save := func() {
		t.Helper()
		if err := e.Prepare(now); err != nil {
			t.Fatal(err)
		}
		if err := d.commit(false, func(tx Tx) { e.Save(tx, &store.Meta{}) }); err != nil {
			t.Fatal(err)
		}
		e.Saved(nil)
	}
	save()
	e.tracker.ForkOf(groups.Key{PID: 1, Start: clock.At(0, clock.Tick)}, 50, start)
	save()
	if l, _ := e.tracker.Live(60); l.Set != groups.Ungrouped {
		t.Fatalf("it is in set %d, want none", l.Set)
	}
	if a := d.members[k].Account.Last[usage.User]; a != uint64(time.Second) {
		t.Errorf("an account of %d ns is stored, want one second", a)
	}
}
