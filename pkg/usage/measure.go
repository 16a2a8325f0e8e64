// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"math/bits"
	"time"

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

// fields lets the counters of a measure be handled alike; MaxRSS is not one.
func (m *Measure) fields() [8]*uint64 {
	return [8]*uint64{
		&m.MinorFaults, &m.MajorFaults, &m.ReadBytes, &m.WriteBytes,
		&m.ReadChars, &m.WriteChars, &m.VoluntarySwitches, &m.InvoluntarySwitches,
	}
}

// raise lifts every field of m to at least that of n. The CPU is the larger
// total, split so that neither part is less than that of n.
func (m *Measure) raise(n *Measure) {
	total := max(m.CPU(), n.CPU())
	m.User = min(max(m.User, n.User), total-n.System)
	m.System = total - m.User
	m.Elapsed = max(m.Elapsed, n.Elapsed)
	m.MaxRSS = max(m.MaxRSS, n.MaxRSS)
	mf, nf := m.fields(), n.fields()
	for i := range mf {
		*mf[i] = max(*mf[i], *nf[i])
	}
}

// beyond returns what m has more than n, field by field and never negative. The
// CPU is the difference of the totals, split so that no part is negative.
func (m *Measure) beyond(n *Measure) Measure {
	d := Measure{Elapsed: max(m.Elapsed-n.Elapsed, 0), MaxRSS: m.MaxRSS}
	if cpu := m.CPU() - n.CPU(); cpu > 0 {
		d.User = min(max(m.User-n.User, 0), cpu)
		d.System = cpu - d.User
	}
	df, mf, nf := d.fields(), m.fields(), n.fields()
	for i := range df {
		if *mf[i] > *nf[i] {
			*df[i] = *mf[i] - *nf[i]
		}
	}
	return d
}

// add adds n to m; MaxRSS becomes the larger.
func (m *Measure) add(n *Measure) {
	m.User += n.User
	m.System += n.System
	m.Elapsed += n.Elapsed
	m.MaxRSS = max(m.MaxRSS, n.MaxRSS)
	mf, nf := m.fields(), n.fields()
	for i := range mf {
		*mf[i] += *nf[i]
	}
}

// sub takes n, which was added before, from m; MaxRSS stays.
func (m *Measure) sub(n *Measure) {
	m.User -= n.User
	m.System -= n.System
	m.Elapsed -= n.Elapsed
	mf, nf := m.fields(), n.fields()
	for i := range mf {
		*mf[i] -= *nf[i]
	}
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

// split sets the CPU of m to total, divided as user is to system. Without a
// ratio it is all system time, as in the kernel's cputime_adjust.
func (m *Measure) split(total, user, system time.Duration) {
	m.User, m.System = 0, total
	if sum := user + system; sum > 0 && user >= 0 && system >= 0 {
		hi, lo := bits.Mul64(uint64(total), uint64(user))
		q, _ := bits.Div64(hi, lo, uint64(sum))
		m.User = time.Duration(q)
		m.System = total - m.User
	}
}
