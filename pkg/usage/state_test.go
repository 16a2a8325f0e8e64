// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/acct"
	"elsa/pkg/groups"
)

// restart makes a join of what another would have stored.
func restart(j *Join, accounts map[groups.Key]groups.SetID) *Join {
	r := newTestJoin(j.ExpectExact)
	r.Reported = j.Reported
	j.TakeChanged(func(id groups.SetID, u *Usage) { r.RestoreSet(id, *u) })
	for key, set := range accounts {
		if a, ok := j.Account(key); ok {
			r.RestoreAccount(key, set, a)
		}
	}
	j.OpenDeaths(func(d OpenDeath) { r.RestoreDeath(d, 0) })
	return r
}

// TestRestart stops between any two parts of a story: the end is the same.
func TestRestart(t *testing.T) {
	// Two deaths of one pid, and one process that is moved and then dies.
	second, secondLine, secondEx := life, line, ex
	second.Start = stamped(life.Start.Boot() + 20*sec)
	secondLine.Begin += 20
	secondEx.Start += 20 * sec
	mover, moverLine := life, line
	mover.PID, moverLine.PID = 11, 11
	moved := mover
	moved.Set = 6
	story := []func(j *Join){
		func(j *Join) { j.Precise(&ts, now); j.Line(&line, life, true, now) },
		func(j *Join) { j.Sample(mover.Key(), cellIn(5), cpu(3, 4)) },
		func(j *Join) { j.Move(groups.Change{Life: mover, From: 5, To: 6}, false) },
		func(j *Join) { j.Line(&secondLine, second, true, now) },
		func(j *Join) { j.Sample(mover.Key(), cellIn(6), cpu(5, 4)) },
		func(j *Join) { j.Precise(&secondEx, now) },
		func(j *Join) { j.Precise(&ex, now) },
		func(j *Join) { j.Line(&moverLine, moved, true, now) },
		func(j *Join) { later(j, 3*time.Second) },
	}
	end := func(stop int) map[groups.SetID]Usage {
		j := newTestJoin(true)
		for i, part := range story {
			if i == stop {
				j = restart(j, map[groups.Key]groups.SetID{mover.Key(): map[bool]groups.SetID{true: 5, false: 6}[i < 3]})
			}
			part(j)
		}
		if c := j.Conservation(0); c < 0.999999 || c > 1.000001 {
			t.Errorf("stopped before part %d: Conservation() = %v", stop, c)
		}
		later(j, time.Hour)
		checkEmpty(t, j)
		return map[groups.SetID]Usage{5: j.Total(5), 6: j.Total(6)}
	}
	want := end(-1)
	if u := want[5]; u.CPU() != (36+36+7)*ms || u[Exact] != 2 {
		t.Errorf("set 5: %v CPU, %d exact; want 79ms, 2", u.CPU(), u[Exact])
	}
	for stop := range story {
		if diff := cmp.Diff(want, end(stop)); diff != "" {
			t.Errorf("stopped before part %d (-want +got):\n%s", stop, diff)
		}
	}
}

// TestRestoredDeath settles a death that waited when the service ended.
func TestRestoredDeath(t *testing.T) {
	waiting := func() *Join {
		j := newTestJoin(true)
		j.Precise(&ts, now)
		j.Line(&line, life, true, now)
		return restart(j, nil)
	}
	late := ex
	late.Start += sec // within the second, but not this process
	for _, c := range []struct {
		name    string
		records []acct.Record
		want    bill
	}{
		{"its record came meanwhile", nil, bill{38 * ms, 3010 * ms, 91, 4096, 1, 1, [3]uint64{0, 1, 0}}},
		{"its record comes", []acct.Record{ex}, bill{36 * ms, 3010 * ms, 95, 8192, 1, 1, [3]uint64{1, 0, 0}}},
		{"another's record comes", []acct.Record{late}, bill{38 * ms, 3010 * ms, 91, 4096, 1, 1, [3]uint64{0, 1, 0}}},
	} {
		j := waiting()
		for _, r := range c.records {
			j.Precise(&r, now)
		}
		later(j, 0) // at the first step already
		if diff := cmp.Diff(c.want, billOf(j.Total(5))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// What a death lacked when the service ended it still lacks after: the record that
// comes tells its exit status, and without one it is not counted as joined by a
// line that it never had.
func TestRestoredDeathWithoutLine(t *testing.T) {
	failed := ex
	failed.ExitCode = 1 << 8 // its line says that a signal killed it
	for _, c := range []struct {
		name    string
		lined   bool
		records []acct.Record
		exits   [2]uint64 // with another status than 0, by a signal
		joined  Joined
	}{
		{"no line, its record comes", false, []acct.Record{failed}, [2]uint64{1, 0}, Joined{Exact: 1}},
		{"no line, no record", false, nil, [2]uint64{}, Joined{}},
		{"a line, its record comes", true, []acct.Record{failed}, [2]uint64{0, 1}, Joined{Exact: 1}},
		{"a line, no record", true, nil, [2]uint64{0, 1}, Joined{Ledger: 1}},
	} {
		j := newTestJoin(true)
		if c.lined {
			j.Line(&line, life, true, now)
		} else {
			dead := life
			dead.Exit = now
			j.Unledgered(dead, now)
		}
		j = restart(j, nil)
		for _, r := range c.records {
			j.Precise(&r, now)
		}
		later(j, 0)
		if u := j.Total(5); [2]uint64{u[ExitNonzero], u[ExitSignal]} != c.exits || u[Ended] != 1 {
			t.Errorf("%s: exits %d, by a signal %d, of %d; want %v of 1", c.name, u[ExitNonzero], u[ExitSignal], u[Ended], c.exits)
		}
		if j.Joined != c.joined {
			t.Errorf("%s: joined %+v, want %+v", c.name, j.Joined, c.joined)
		}
	}
}

func TestTakeChanged(t *testing.T) {
	j := newTestJoin(false)
	take := func() []groups.SetID {
		got := map[groups.SetID]bool{}
		if j.Changed() != (len(j.changed) > 0) {
			t.Error("Changed() is wrong")
		}
		j.TakeChanged(func(id groups.SetID, u *Usage) {
			if got[id] || *u != j.at(id) {
				t.Errorf("set %d is told twice or wrong: %+v", id, u)
			}
			got[id] = true
		})
		return slices.Sorted(maps.Keys(got))
	}
	check := func(when string, want ...groups.SetID) {
		t.Helper()
		if got := take(); !slices.Equal(got, want) {
			t.Errorf("%s: sets %v changed, want %v", when, got, want)
		}
	}
	check("at first")
	j.Start(3, 1)
	j.Start(3, 1)
	j.Start(4, 1)
	check("two started", 3, 4)
	check("again")
	j.Sample(life.Key(), cellIn(5), cpu(1, 1))
	check("a live process is not stored")
	j.Sample(life.Key(), cellIn(5), &Measure{MaxRSS: 9})
	check("but its peak is", 5)
	j.Line(&line, life, true, now)
	check("a death", 5)
	j.Merge(map[groups.SetID]groups.SetID{5: 4}, 7)
	check("merged", 4, 5)
	j.RestoreSet(2, Usage{Ended: 1})
	check("restored")
	j.Touch(2)
	check("touched", 2)
	j.TouchAll()
	check("all touched", 0, 1, 2, 3, 4, 5)
}

// fill sets all numbers and truths in a value.
func fill(v reflect.Value) {
	for i := range v.NumField() {
		switch f := v.Field(i); {
		case f.CanInt():
			f.SetInt(int64(i) + 1)
		case f.CanUint():
			f.SetUint(uint64(i) + 1)
		case f.Kind() == reflect.Bool:
			f.SetBool(true)
		case f.Kind() == reflect.Array:
			for k := range f.Len() {
				f.Index(k).SetUint(uint64(k) + 1)
			}
		default:
			fill(f)
		}
	}
}

// What is restored is stored again as it was: no field of it is lost.
func TestRestoredIsStored(t *testing.T) {
	var d OpenDeath
	var a Account
	fill(reflect.ValueOf(&d).Elem())
	fill(reflect.ValueOf(&a).Elem())
	d.Grade = uint8(sampled)
	var u Usage
	for f := range u {
		u[f] = uint64(f) + 1
	}
	j := newTestJoin(true)
	j.RestoreSet(3, u)
	j.RestoreDeath(d, d.At)
	j.RestoreAccount(life.Key(), 3, a)
	j.OpenDeaths(func(got OpenDeath) {
		if diff := cmp.Diff(d, got); diff != "" {
			t.Errorf("death (-restored +stored):\n%s", diff)
		}
	})
	if got, _ := j.Account(life.Key()); got != a {
		t.Errorf("account %+v, want %+v", got, a)
	}
	j.Touch(3)
	j.TakeChanged(func(_ groups.SetID, got *Usage) {
		if *got != u {
			t.Errorf("bill %v, want %v", *got, u)
		}
	})
}
