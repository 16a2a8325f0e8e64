// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"maps"
	"testing"
	"time"

	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// What a process uses is put in the hours in which it was sampled, under the user and
// command of then, and the rest in the hour of its death; a restart in between changes
// nothing.
func TestHoursOfLiving(t *testing.T) {
	const set, hour0 = 5, 400000
	for _, restart := range []bool{false, true} {
		cells := map[Cell]*Usage{}
		fresh := func(j *Join) *Join {
			j.Roll = func(c *Cell) *Usage {
				if cells[*c] == nil {
					cells[*c] = new(Usage)
				}
				return cells[*c]
			}
			return j
		}
		j := fresh(newTestJoin(false))
		j.Booted = clock.Wall(hour0 * 3600e9)
		life := groups.Life{PID: 77, Start: stamped(clock.Boot(600 * sec)), Set: set}
		cell := func(hour, uid uint32) Cell {
			return Cell{Hour: hour0 + hour, Set: set, UID: uid, Comm: [16]byte{'s', 'h'}}
		}
		j.Sample(life.Key(), cell(0, 0), cpu(1000, 0))
		j.Sample(life.Key(), cell(0, 1), cpu(4000, 1000)) // it became another user's
		if restart {
			a, _ := j.Account(life.Key())
			bill := j.at(set)
			j = fresh(newTestJoin(false))
			j.Booted = clock.Wall(hour0 * 3600e9)
			j.RestoreSet(set, bill)
			j.RestoreAccount(life.Key(), set, a)
		}
		if j.Sample(life.Key(), cell(1, 1), cpu(4000, 1000)); cells[cell(0, 1)] == nil {
			t.Fatal("an hour has ended, and what was used in it is not billed")
		}
		j.Sample(life.Key(), cell(1, 1), cpu(5000, 1000))
		live := map[Cell]time.Duration{}
		j.Living(func(c *Cell, m *Measure) { live[*c] = m.CPU() })
		if want := map[Cell]time.Duration{cell(1, 1): 1 * sec}; !maps.Equal(live, want) {
			t.Errorf("restart %v: what lives has %v, want %v", restart, live, want)
		}
		life.Exit = clock.Boot(3*3600*sec + 5*sec)
		line := acct.Record{Source: acct.BSD, Whole: true, PID: 77, UID: 1, Begin: hour0*3600 + 600, Elapsed: 3*3600*sec - 595*sec, User: 9 * sec, System: sec, CPU: 10 * sec}
		copy(line.Comm[:], "sh")
		j.Line(&line, life, true, life.Exit)
		got := map[Cell]time.Duration{}
		for c, u := range cells {
			got[c] = u.CPU()
		}
		want := map[Cell]time.Duration{cell(0, 1): 5 * sec, cell(1, 1): 1 * sec, cell(3, 1): 4 * sec}
		if !maps.Equal(got, want) {
			t.Errorf("restart %v: cells %v, want %v", restart, got, want)
		}
		if u := j.Total(set); u.CPU() != 10*sec || u[Ended] != 1 {
			t.Errorf("restart %v: the bill is %v, %d ended", restart, u.CPU(), u[Ended])
		}
	}
}

// The time that the machine was suspended is no time in which a record could come: a
// death waits on, and the record that comes after the sleep is not late.
func TestSleepIsNotWaitedOut(t *testing.T) {
	for _, told := range []bool{true, false} {
		j := newTestJoin(true)
		at := clock.Boot(now)
		life := groups.Life{PID: 77, Start: stamped(at), Set: 5}
		line := acct.Record{Source: acct.BSD, Whole: true, PID: 77, Begin: at.Wall(j.Booted).Seconds(), Elapsed: sec, User: 10 * ms, CPU: 10 * ms}
		j.Line(&line, life, true, at)
		ex := acct.Record{Source: acct.Exact, Whole: true, PID: 77, Start: int64(life.Start.Boot()), User: 3 * ms, CPU: 3 * ms}
		other := ex
		other.PID = 78
		j.Precise(&other, at)
		awake := at.Add(time.Hour + 100*ms)
		if told {
			j.Slept(time.Hour, awake)
		}
		j.Step(awake, giveUp)
		j.Precise(&ex, awake)
		if u := j.Total(5); (u.CPU() == 3*ms && u[Exact] == 1 && j.Joined.Late == 0) != told {
			t.Errorf("told %v: %v, exact %d, late %d", told, u.CPU(), u[Exact], j.Joined.Late)
		}
		if held := j.HoldsExact(78, life.Start); held != told {
			t.Errorf("told %v: a record that came before is held: %v", told, held)
		}
		j.Step(awake.Add(time.Minute), giveUp)
		if j.Held() != 0 {
			t.Errorf("told %v: a record is held a minute later", told)
		}
	}
}
