// SPDX-License-Identifier: Apache-2.0

// Package usage adds up what processes used and joins the kernel's records of
// their deaths to the sets of groups they were in.
package usage

import "time"

// Usage is what a set of processes used, by [Field]: a commutative monoid under
// [Usage.Add] with the zero value as its unit. Times are nanoseconds.
type Usage [Fields]uint64

// CPU is user and system time together.
func (u *Usage) CPU() time.Duration { return time.Duration(u[User] + u[System]) }

// Value is a field in base units: seconds, bytes or a number.
func (u *Usage) Value(f Field) float64 {
	if table[f].Unit == Seconds {
		return time.Duration(u[f]).Seconds()
	}
	return float64(u[f])
}

// Ceiling is what no sum grows beyond. Lines of an accounting file may say anything;
// a sum that wrapped would be small, or less than nothing.
const Ceiling = 1<<62 - 1

// sum adds up to the ceiling. What is taken back is added as a negative number, in any
// order: a cell of the history may have what is taken back from another.
func sum(a, b uint64) uint64 {
	if int64(a) < 0 || int64(b) < 0 {
		return a + b
	}
	return min(a+min(b, Ceiling), max(a, Ceiling))
}

// Full counts the sums that reached their ceiling.
func (u *Usage) Full() (n uint64) {
	for _, v := range u {
		if v >= Ceiling {
			n++
		}
	}
	return n
}

// Add adds v to u: sums, up to [Ceiling], and the larger of peaks.
func (u *Usage) Add(v *Usage) {
	for f, n := range v {
		if peaks[f] {
			u[f] = max(u[f], n)
		} else {
			u[f] = sum(u[f], n)
		}
	}
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
