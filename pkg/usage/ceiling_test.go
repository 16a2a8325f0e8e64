// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"math"
	"testing"
	"time"
)

// Sums stop at their ceiling, whatever is added in whatever order, and CPU time is
// never less than nothing.
func TestSumsStopAtTheirCeiling(t *testing.T) {
	var u Usage
	large := Usage{User: uint64(340e6 * time.Second), System: math.MaxInt64, Ended: 1, MinorFaults: Ceiling}
	for range 100 {
		before := u
		u.Add(&large)
		for f := range u {
			if u[f] < before[f] || u[f] > Ceiling && !peaks[f] {
				t.Fatalf("field %d went from %d to %d", f, before[f], u[f])
			}
		}
	}
	if u.CPU() < 0 || u[User] != Ceiling || u[Ended] != 100 || u.Full() != 3 {
		t.Errorf("CPU %v, %d deaths, %d full", u.CPU(), u[Ended], u.Full())
	}
	u = Usage{Sampled: 3}
	u.Add(&Usage{Exact: 1, Sampled: math.MaxUint64}) // one was sampled, and is exact
	if u[Exact] != 1 || u[Sampled] != 2 {
		t.Errorf("%d exact, %d sampled, want 1 and 2", u[Exact], u[Sampled])
	}
	var m Measure
	for range 100 {
		m.add((*Measure)(large[:Measured]))
	}
	if m[User] != Ceiling || m[System] != Ceiling {
		t.Errorf("measured %d and %d", m[User], m[System])
	}
}

// What is taken back may come before what it is taken from.
func TestSumsInAnyOrder(t *testing.T) {
	const less = ^uint64(0) // -1
	var first, last Usage
	for _, n := range []uint64{less, less, 1, 1, 1} {
		first.Add(&Usage{Rounded: n})
	}
	for _, n := range []uint64{1, 1, 1, less, less} {
		last.Add(&Usage{Rounded: n})
	}
	if first != last || last[Rounded] != 1 {
		t.Errorf("%d with what is taken back first, %d with it last; want 1", first[Rounded], last[Rounded])
	}
}
