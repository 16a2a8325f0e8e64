// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/groups"
)

func cpu(user, system time.Duration) *Measure {
	return &Measure{User: uint64(user * ms), System: uint64(system * ms)}
}

// TestSplit follows one process that changes sets; the cases say what sets 5, 6
// and 7 show at the end, in milliseconds of user and system time.
func TestSplit(t *testing.T) {
	key := life.Key()
	move := func(j *Join, from, to groups.SetID, whole bool) {
		j.Move(groups.Change{Life: life, From: from, To: to}, whole)
	}
	die := func(j *Join, set groups.SetID) {
		l := life
		l.Set = set
		j.Line(&line, l, true, now) // 10 ms user, 20 ms system
	}
	for _, c := range []struct {
		name  string
		story func(j *Join)
		want  [3][2]time.Duration
		ended [3]uint64
	}{
		{"live", func(j *Join) { j.Sample(key, cellIn(5), cpu(1, 2)) }, [3][2]time.Duration{{1, 2}}, [3]uint64{}},
		{"a lower sample changes nothing", func(j *Join) {
			j.Sample(key, cellIn(5), cpu(1, 2))
			j.Sample(key, cellIn(5), cpu(0, 1))
		}, [3][2]time.Duration{{1, 2}}, [3]uint64{}},
		{"user time sinks while the total rises: neither falls", func(j *Join) {
			j.Sample(key, cellIn(5), cpu(5, 5))
			j.Sample(key, cellIn(5), cpu(3, 9))
		}, [3][2]time.Duration{{5, 7}}, [3]uint64{}},
		{"death after a sample", func(j *Join) {
			j.Sample(key, cellIn(5), cpu(1, 2))
			die(j, 5)
		}, [3][2]time.Duration{{10, 20}}, [3]uint64{1}},
		{"the record is smaller than the sample", func(j *Join) {
			j.Sample(key, cellIn(5), cpu(11, 22))
			die(j, 5)
		}, [3][2]time.Duration{{11, 22}}, [3]uint64{1}},
		{"the record has less user time than the sample, but more in all", func(j *Join) {
			j.Sample(key, cellIn(5), cpu(15, 5))
			die(j, 5)
		}, [3][2]time.Duration{{15, 15}}, [3]uint64{1}},
		{"moved", func(j *Join) {
			j.Sample(key, cellIn(5), cpu(1, 2))
			move(j, 5, 6, false)
			j.Sample(key, cellIn(6), cpu(4, 4))
		}, [3][2]time.Duration{{1, 2}, {3, 2}}, [3]uint64{}},
		{"moved twice, then dead", func(j *Join) {
			j.Sample(key, cellIn(5), cpu(1, 2))
			move(j, 5, 6, false)
			j.Sample(key, cellIn(6), cpu(4, 4))
			move(j, 6, 7, false)
			die(j, 7)
		}, [3][2]time.Duration{{1, 2}, {3, 2}, {6, 16}}, [3]uint64{0, 0, 1}},
		{"moved with its whole life", func(j *Join) {
			j.Sample(key, cellIn(5), cpu(1, 2))
			move(j, 5, 6, true)
			die(j, 6)
		}, [3][2]time.Duration{{}, {10, 20}}, [3]uint64{0, 1}},
		{"what was billed stays also when the rest is moved whole", func(j *Join) {
			j.Sample(key, cellIn(5), cpu(1, 2))
			move(j, 5, 6, false)
			j.Sample(key, cellIn(6), cpu(2, 3))
			move(j, 6, 7, true)
			die(j, 7)
		}, [3][2]time.Duration{{1, 2}, {}, {9, 18}}, [3]uint64{0, 0, 1}},
		{"never sampled", func(j *Join) {
			move(j, 5, 6, false)
			die(j, 6)
		}, [3][2]time.Duration{{}, {10, 20}}, [3]uint64{0, 1}},
		{"billed more than the record says", func(j *Join) {
			j.Sample(key, cellIn(5), cpu(20, 20))
			move(j, 5, 6, false)
			die(j, 6)
		}, [3][2]time.Duration{{20, 20}, {}}, [3]uint64{0, 1}},
		{"found in another set than it was: what was shown stays", func(j *Join) {
			j.Sample(key, cellIn(5), cpu(1, 2))
			j.Sample(key, cellIn(6), cpu(2, 3))
		}, [3][2]time.Duration{{1, 2}, {1, 1}}, [3]uint64{}},
		{"dead in another set than it was: what was shown stays", func(j *Join) {
			j.Sample(key, cellIn(5), cpu(1, 2))
			die(j, 6)
		}, [3][2]time.Duration{{1, 2}, {9, 18}}, [3]uint64{0, 1}},
		{"its set is merged with another", func(j *Join) {
			j.Sample(key, cellIn(5), cpu(1, 2))
			j.Merge(map[groups.SetID]groups.SetID{5: 6}, 4)
			j.Sample(key, cellIn(6), cpu(2, 3))
			die(j, 6)
		}, [3][2]time.Duration{{}, {10, 20}}, [3]uint64{0, 1}},
		{"its set is merged with another, and it is moved with all it used", func(j *Join) {
			j.Sample(key, cellIn(5), cpu(1, 2))
			j.Merge(map[groups.SetID]groups.SetID{5: 6}, 4)
			move(j, 6, 7, true)
			die(j, 7)
		}, [3][2]time.Duration{{}, {}, {10, 20}}, [3]uint64{0, 0, 1}},
		{"its last group is deleted, and it is moved with all it used since", func(j *Join) {
			j.Sample(key, cellIn(5), cpu(1, 2))
			j.Merge(map[groups.SetID]groups.SetID{5: groups.Ungrouped}, 6)
			move(j, groups.Ungrouped, 7, true)
			die(j, 7)
		}, [3][2]time.Duration{{}, {1, 2}, {9, 18}}, [3]uint64{0, 0, 1}},
		{"the set of a death that waits is merged", func(j *Join) {
			j.ExpectExact = true
			die(j, 5)
			j.Merge(map[groups.SetID]groups.SetID{5: 6}, 4)
			j.Precise(&ex, now)
		}, [3][2]time.Duration{{}, {9, 27}}, [3]uint64{0, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := newTestJoin(false)
			c.story(j)
			for i := range 3 {
				u := j.Total(groups.SetID(5 + i))
				got := [2]time.Duration{time.Duration(u[User]) / ms, time.Duration(u[System]) / ms}
				if got != c.want[i] || u[Ended] != c.ended[i] {
					t.Errorf("set %d: user, system %v, ended %d; want %v, %d", 5+i, got, u[Ended], c.want[i], c.ended[i])
				}
			}
		})
	}
}

func TestSampleChanged(t *testing.T) {
	j := newTestJoin(false)
	m := Measure{User: 5, ReadBytes: 7, MaxRSS: 100}
	if !j.Sample(life.Key(), cellIn(5), &m) {
		t.Error("the first sample changed nothing")
	}
	if j.Sample(life.Key(), cellIn(5), &m) {
		t.Error("the same sample changed something")
	}
	m[ReadBytes]++
	if !j.Sample(life.Key(), cellIn(5), &m) {
		t.Error("a larger sample changed nothing")
	}
}

// TestPeak checks whose high-water mark of memory goes on which bill.
func TestPeak(t *testing.T) {
	for _, c := range []struct {
		name  string
		story func(j *Join)
		want  [2]uint64 // of sets 5 and 6, MiB
	}{
		{"live", func(j *Join) { j.Sample(life.Key(), cellIn(5), &Measure{MaxRSS: 3 << 20}) }, [2]uint64{3, 0}},
		{"dead", func(j *Join) {
			j.Precise(&ts, now)
			j.Line(&line, life, true, now)
		}, [2]uint64{1, 0}},
		{"of a large parent", func(j *Join) {
			j.ExpectExact = true
			x := ex
			x.MaxRSS = 300 << 20
			j.Precise(&ts, now)
			j.Line(&line, life, true, now)
			j.Precise(&x, now)
		}, [2]uint64{1, 0}},
		{"of a large parent, all at once", func(j *Join) {
			x := ex
			x.MaxRSS = 300 << 20
			j.Precise(&ts, now)
			j.Precise(&x, now)
			j.Line(&line, life, true, now)
		}, [2]uint64{1, 0}},
		{"the sample saw more", func(j *Join) {
			j.Sample(life.Key(), cellIn(5), &Measure{MaxRSS: 3 << 20})
			j.Precise(&ts, now)
			j.Line(&line, life, true, now)
		}, [2]uint64{3, 0}},
		{"moved: the peak before is not the new set's", func(j *Join) {
			j.Sample(life.Key(), cellIn(5), &Measure{MaxRSS: 9 << 20})
			j.Move(groups.Change{Life: life, From: 5, To: 6}, false)
			l, r, x := life, ts, ex
			l.Set = 6
			r.MaxRSS, r.ImageRSS, x.MaxRSS = 9<<20, 2<<20, 9<<20
			j.Precise(&r, now)
			j.Precise(&x, now)
			j.Line(&line, l, true, now)
		}, [2]uint64{9, 2}},
		{"moved twice at once", func(j *Join) {
			j.Sample(life.Key(), cellIn(7), &Measure{MaxRSS: 9 << 20})
			j.Move(groups.Change{Life: life, From: 7, To: 5}, false)
			j.Move(groups.Change{Life: life, From: 5, To: 6}, false)
			l, r := life, ts
			l.Set = 6
			r.MaxRSS, r.ImageRSS = 9<<20, 2<<20
			j.Precise(&r, now)
			j.Line(&line, l, true, now)
		}, [2]uint64{0, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := newTestJoin(false)
			c.story(j)
			got := [2]uint64{j.Total(5)[MaxRSS] >> 20, j.Total(6)[MaxRSS] >> 20}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("peaks (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConservation(t *testing.T) {
	j := newTestJoin(false)
	if c := j.Conservation(0); c != 1 {
		t.Errorf("Conservation() = %v before anything was reported", c)
	}
	j.Sample(life.Key(), cellIn(5), cpu(1, 2))
	j.Move(groups.Change{Life: life, From: 5, To: 6}, false)
	other := life
	other.PID = 11
	r := line
	r.PID = 11
	j.Line(&r, other, true, now)
	if c := j.Conservation(0); c != 1 {
		t.Errorf("Conservation() = %v with a live process's part billed, want 1", c)
	}
	l := life
	l.Set = 6
	j.Line(&line, l, true, now)
	if c := j.Conservation(0); c != 1 {
		t.Errorf("Conservation() = %v after its death, want 1", c)
	}
	j.Reported *= 2 // as if half of all deaths had been forgotten
	if c := j.Conservation(j.Reported); c != 0.25 {
		t.Errorf("Conservation() = %v with as much again that was reported of nobody, want 0.25", c)
	}
	if c := new(Join).Conservation(time.Second); c != 0 {
		t.Errorf("Conservation() = %v where nothing was reported, and something ran", c)
	}
	if c := j.Conservation(0); c != 0.5 {
		t.Errorf("Conservation() = %v with half of it lost, want 0.5", c)
	}
}

// cellIn is a cell of which only the set matters.
func cellIn(set groups.SetID) Cell { return Cell{Set: set} }
