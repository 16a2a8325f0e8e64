// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"time"

	"elsa/internal/cputime"
)

// Measure is what one process used, or a part of its life: the fields of [Usage]
// below [Measured].
type Measure [Measured]uint64

// CPU is user and system time together.
func (m *Measure) CPU() time.Duration { return time.Duration(m[User] + m[System]) }

// raise lifts every field of m to at least that of n, the CPU as a whole: its
// total becomes the larger one, and neither user nor system time is below n's.
func (m *Measure) raise(n *Measure) {
	more := m.beyond(n)
	*m = *n
	m.add(&more)
}

// beyond returns what m has more than n, field by field and never negative. The
// CPU is the difference of the totals, split so that no part is negative. Peaks
// stay.
func (m *Measure) beyond(n *Measure) Measure {
	if *n == (Measure{}) {
		return *m // nearly always
	}
	d := *m
	for f, was := range n {
		if !peaks[f] {
			d[f] = less(m[f], was)
		}
	}
	d[User], d[System] = 0, 0
	if cpu := m.CPU() - n.CPU(); cpu > 0 {
		d[User] = min(less(m[User], n[User]), uint64(cpu))
		d[System] = uint64(cpu) - d[User]
	}
	return d
}

func less(a, b uint64) uint64 { return a - min(a, b) }

// add adds n to m: sums, and the larger of peaks.
func (m *Measure) add(n *Measure) {
	for f, more := range n {
		if peaks[f] {
			m[f] = max(m[f], more)
		} else {
			m[f] = sum(m[f], more)
		}
	}
}

// sub takes n, which was added before, from m. Peaks stay.
func (m *Measure) sub(n *Measure) {
	for f, part := range n {
		if !peaks[f] {
			m[f] -= part
		}
	}
}

// dropPeaks leaves the sums.
func (m *Measure) dropPeaks() {
	for f := range m {
		if peaks[f] {
			m[f] = 0
		}
	}
}

// setCPU sets the CPU of m to total, divided as user was to system time.
func (m *Measure) setCPU(total time.Duration) {
	user, system := cputime.Split(total, time.Duration(m[User]), time.Duration(m[System]))
	m[User], m[System] = uint64(user), uint64(system)
}
