// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"elsa/pkg/clock"
)

// bornIn is what a ledger line says of a birth: the second.
func bornIn(at clock.Boot) func(*Life) bool {
	return func(l *Life) bool { return l.Start.Boot()/sec == at/sec }
}

func TestReap(t *testing.T) {
	for _, c := range []struct {
		name  string
		story func(w *world) []Life
		want  []string // the groups of the lives taken; "again"; "none"
		left  string
	}{
		{"a dead process is over with its record", func(w *world) []Life {
			w.fork(1, 10)
			w.add(10, 7)
			w.exit(10, 10)
			return []Life{w.reap(10)}
		}, []string{"{7}"}, ""},
		{"the record before the exit event", func(w *world) []Life {
			w.fork(1, 10)
			w.add(10, 7)
			l := w.reap(10)
			w.exit(10, 10)
			return []Life{l}
		}, []string{"{7}"}, ""},
		{"a second line of one that switched accounting and lives", func(w *world) []Life {
			w.fork(1, 10)
			w.add(10, 7)
			a := w.reap(10)
			w.fork(10, 11)
			return []Life{a, w.reap(10)}
		}, []string{"{7}", "{7} again"}, "(10{7}) 11{7}"},
		{"lines of one pid, in the order of its deaths", func(w *world) []Life {
			for gid := uint32(1); gid <= 3; gid++ {
				w.fork(1, 10)
				w.add(10, gid)
			}
			return []Life{w.reap(10), w.reap(10), w.reap(10)}
		}, []string{"{1}", "{2}", "{3}"}, "(10{3})"},
		{"a line that fits the second of three", func(w *world) []Life {
			var second clock.Boot
			for gid := uint32(1); gid <= 3; gid++ {
				w.now += sec
				w.fork(1, 10)
				w.add(10, gid)
				if gid == 2 {
					second = w.now
				}
			}
			l, _ := w.Take(10, bornIn(second))
			return []Life{l}
		}, []string{"{2}"}, "†10{1} 10{3}"},
		{"a line that fits none changes nothing", func(w *world) []Life {
			w.fork(1, 10)
			w.fork(1, 10)
			w.exit(10, 10)
			a, ok := w.Take(10, func(*Life) bool { return false })
			w.check(!ok, "recorded")
			b, ok := w.Take(11, anyLife)
			w.check(!ok, "recorded")
			return []Life{a, b}
		}, []string{"none", "none"}, "†10{} †10{}"},
		{"without exit events a process is over with its record", func(w *world) []Life {
			w.NoExits = true
			w.fork(1, 10)
			w.add(10, 7)
			return []Life{w.reap(10)}
		}, []string{"{7}"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			var got []string
			for _, l := range c.story(w) {
				s := "none"
				if l != (Life{}) {
					s = "{" + string(rune('0'+w.Sets.Groups(l.Set)[0])) + "}"
				}
				if l.Recorded {
					s += " again"
				}
				got = append(got, s)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("taken (-want +got):\n%s", diff)
			}
			if s := w.String(); s != c.left {
				t.Errorf("left %s, want %s", s, c.left)
			}
			w.endAll()
			w.checkEmpty(t)
		})
	}
}

func TestPeek(t *testing.T) {
	w := newWorld()
	w.fork(1, 10)
	first := w.now
	w.fork(1, 10)
	before := w.String()
	for range 2 {
		if l, ok := w.Peek(10, anyLife); !ok || l.Start != stamped(first) {
			t.Errorf("Peek = %+v, %v; want the life of %d", l, ok, first)
		}
	}
	if l, ok := w.Peek(10, func(l *Life) bool { return l.Start.Boot() > first }); !ok || l.Start != stamped(w.now) {
		t.Errorf("Peek = %+v, %v; want the life of %d", l, ok, w.now)
	}
	if l, ok := w.Peek(10, func(*Life) bool { return false }); ok || l != (Life{}) {
		t.Errorf("Peek = %+v, %v; want none", l, ok)
	}
	if s := w.String(); s != before {
		t.Errorf("Peek changed %s to %s", before, s)
	}
}

// TestBarrier holds the rule of two barriers: a record of a death that was known
// at one has been read by the next.
func TestBarrier(t *testing.T) {
	w := newWorld()
	var asked []int32
	answer := true
	barrier := func() []int32 {
		asked = nil
		w.Barrier(func(l Life) bool { asked = append(asked, l.PID); return answer })
		return asked
	}
	expect := func(when string, want ...int32) {
		t.Helper()
		if diff := cmp.Diff(want, barrier(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	for pid := int32(10); pid < 16; pid++ {
		w.fork(1, pid)
	}
	w.exit(10, 10)
	w.exit(11, 11)
	expect("at once")
	w.exit(12, 12)
	w.fork(1, 13) // evicts
	w.exit(13, 13)
	w.reap(11)
	expect("after two", 10)
	if n := w.Awaiting(); n != 3 {
		t.Errorf("Awaiting() = %d, want 3", n)
	}
	answer = false // say that they live
	w.exit(14, 14)
	expect("one later", 12, 13, 13)
	expect("asked again two barriers later", 14)
	expect("asked again two barriers later", 12, 13, 13)
	if n := w.Awaiting(); n != 4 {
		t.Errorf("Awaiting() = %d, want 4", n)
	}
	answer = true
	expect("the last", 14)
	expect("the last", 12, 13, 13)
	expect("none is left")
	if s := w.String(); s != "15{}" {
		t.Errorf("left: %s, want 15{}", s)
	}
	w.endAll()
	w.checkEmpty(t)
}

// TestBarrierRevived checks that a death taken back does not shorten the time
// that the record of the real one has.
func TestBarrierRevived(t *testing.T) {
	w := newWorld()
	w.fork(1, 10)
	w.exit(10, 10)
	never := func(l Life) bool { t.Errorf("asked about %+v", l); return true }
	w.Barrier(never)
	w.Exec(10)
	w.exit(10, 10)
	w.Barrier(never)
	if n := w.Awaiting(); n != 1 {
		t.Errorf("Awaiting() = %d, want 1", n)
	}
	w.reap(10)
	w.endAll()
	w.checkEmpty(t)
}

func TestGiveUp(t *testing.T) {
	w := newWorld()
	for pid := int32(10); pid < 13; pid++ {
		w.fork(1, pid)
	}
	w.exit(10, 10)
	w.fork(1, 11)
	var got []int32
	w.GiveUp(func(Life) bool { return false }) // none of that boot
	w.GiveUp(func(l Life) bool { got = append(got, l.PID); return true })
	if diff := cmp.Diff([]int32{10, 11}, got); diff != "" {
		t.Errorf("buried (-want +got):\n%s", diff)
	}
	if s := w.String(); s != "11{} 12{}" {
		t.Errorf("left: %s, want 11{} 12{}", s)
	}
	w.endAll()
	w.checkEmpty(t)
}
