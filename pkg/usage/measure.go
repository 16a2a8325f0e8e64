// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"time"

	"elsa/internal/cputime"
	"elsa/pkg/acct"
)

// Measure is what one process used, or a part of its life: the measured fields
// of Usage. MaxRSS is a high-water mark, all others are sums.
type Measure struct {
	User, System, Elapsed                        time.Duration
	MinorFaults, MajorFaults                     uint64
	ReadBytes, WriteBytes, ReadChars, WriteChars uint64
	MaxRSS                                       uint64
	VoluntarySwitches, InvoluntarySwitches       uint64
}

// CPU is user and system time together.
func (m *Measure) CPU() time.Duration { return m.User + m.System }

// raise lifts every field of m to at least that of n, the CPU as a whole: its
// total becomes the larger one, and neither user nor system time is below n's.
func (m *Measure) raise(n *Measure) {
	more := m.beyond(n)
	*m = *n
	m.add(&more)
}

// beyond returns what m has more than n, field by field and never negative. The
// CPU is the difference of the totals, split so that no part is negative.
func (m *Measure) beyond(n *Measure) Measure {
	if *n == (Measure{}) {
		return *m // nearly always
	}
	d := Measure{
		Elapsed:             max(m.Elapsed-n.Elapsed, 0),
		MinorFaults:         less(m.MinorFaults, n.MinorFaults),
		MajorFaults:         less(m.MajorFaults, n.MajorFaults),
		ReadBytes:           less(m.ReadBytes, n.ReadBytes),
		WriteBytes:          less(m.WriteBytes, n.WriteBytes),
		ReadChars:           less(m.ReadChars, n.ReadChars),
		WriteChars:          less(m.WriteChars, n.WriteChars),
		MaxRSS:              m.MaxRSS,
		VoluntarySwitches:   less(m.VoluntarySwitches, n.VoluntarySwitches),
		InvoluntarySwitches: less(m.InvoluntarySwitches, n.InvoluntarySwitches),
	}
	if cpu := m.CPU() - n.CPU(); cpu > 0 {
		d.User = min(max(m.User-n.User, 0), cpu)
		d.System = cpu - d.User
	}
	return d
}

func less(a, b uint64) uint64 { return a - min(a, b) }

// add adds n to m; MaxRSS becomes the larger.
func (m *Measure) add(n *Measure) {
	m.User += n.User
	m.System += n.System
	m.Elapsed += n.Elapsed
	m.MinorFaults += n.MinorFaults
	m.MajorFaults += n.MajorFaults
	m.ReadBytes += n.ReadBytes
	m.WriteBytes += n.WriteBytes
	m.ReadChars += n.ReadChars
	m.WriteChars += n.WriteChars
	m.MaxRSS = max(m.MaxRSS, n.MaxRSS)
	m.VoluntarySwitches += n.VoluntarySwitches
	m.InvoluntarySwitches += n.InvoluntarySwitches
}

// sub takes n, which was added before, from m; MaxRSS stays.
func (m *Measure) sub(n *Measure) {
	m.User -= n.User
	m.System -= n.System
	m.Elapsed -= n.Elapsed
	m.MinorFaults -= n.MinorFaults
	m.MajorFaults -= n.MajorFaults
	m.ReadBytes -= n.ReadBytes
	m.WriteBytes -= n.WriteBytes
	m.ReadChars -= n.ReadChars
	m.WriteChars -= n.WriteChars
	m.VoluntarySwitches -= n.VoluntarySwitches
	m.InvoluntarySwitches -= n.InvoluntarySwitches
}

// AddMeasure adds what one process used to u.
func (u *Usage) AddMeasure(m *Measure) {
	u.User += m.User
	u.System += m.System
	u.Elapsed += m.Elapsed
	u.MinorFaults += m.MinorFaults
	u.MajorFaults += m.MajorFaults
	u.ReadBytes += m.ReadBytes
	u.WriteBytes += m.WriteBytes
	u.ReadChars += m.ReadChars
	u.WriteChars += m.WriteChars
	u.MaxRSS = max(u.MaxRSS, m.MaxRSS)
	u.VoluntarySwitches += m.VoluntarySwitches
	u.InvoluntarySwitches += m.InvoluntarySwitches
}

// measureOf takes the figures of a record. The CPU is the record's total, split
// by the kernel's ratio of user to system time.
func measureOf(r *acct.Record) Measure {
	m := Measure{
		User: r.User, System: r.System, Elapsed: r.Elapsed,
		MinorFaults: r.MinorFaults, MajorFaults: r.MajorFaults,
		ReadBytes: r.ReadBytes, WriteBytes: r.WriteBytes, ReadChars: r.ReadChars, WriteChars: r.WriteChars,
		MaxRSS:            r.MaxRSS,
		VoluntarySwitches: r.VoluntarySwitches, InvoluntarySwitches: r.InvoluntarySwitches,
	}
	if r.CPU > 0 {
		m.split(r.CPU, r.User, r.System)
	}
	return m
}

// split sets the CPU of m to total, divided as user is to system.
func (m *Measure) split(total, user, system time.Duration) {
	m.User, m.System = cputime.Split(total, user, system)
}
