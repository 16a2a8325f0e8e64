// SPDX-License-Identifier: Apache-2.0

// Package usage adds up what processes used and joins the kernel's records of
// their deaths to the sets of groups they were in.
package usage

import (
	"math"
	"time"
)

// Most is the largest a sum becomes, 292 years in nanoseconds: what comes on top is
// left out.
const Most = math.MaxInt64

func sum(a, b uint64) uint64 {
	if s := a + b; s >= a && s <= Most {
		return s
	}
	return Most
}

// Usage is what a set of processes used, by [Field]: a commutative monoid under
// [Usage.Add] with the zero value as its unit. Times are nanoseconds.
type Usage [Fields]uint64

// CPU is user and system time together.
func (u *Usage) CPU() time.Duration { return time.Duration(sum(u[User], u[System])) }

// Value is a field in base units: seconds, bytes or a number.
func (u *Usage) Value(f Field) float64 {
	if table[f].Unit == Seconds {
		return time.Duration(u[f]).Seconds()
	}
	return float64(u[f])
}

// Add adds v to u: sums, up to [Most], and the larger of peaks.
func (u *Usage) Add(v *Usage) {
	for f, n := range v {
		switch {
		case peaks[f]:
			u[f] = max(u[f], n)
		case Field(f) < Measured:
			u[f] = sum(u[f], n)
		default: // a count, which may also take back: see count
			u[f] += n
		}
	}
}

// full reports whether a sum of u is at its largest.
func (u *Usage) full() bool {
	for f, n := range u[:Measured] {
		if n >= Most && !peaks[f] {
			return true
		}
	}
	return false
}

// AddMeasure adds what one process used to u.
func (u *Usage) AddMeasure(m *Measure) { (*Measure)(u[:Measured]).add(m) }

// Increase is by how much the sums of u grew to become v, none by less than
// nothing. It has no peaks and no [Live], which are not sums over time.
func (u *Usage) Increase(v *Usage) (more Usage) {
	for f, n := range v {
		if !peaks[f] && Field(f) != Live {
			more[f] = less(n, u[f])
		}
	}
	return more
}
