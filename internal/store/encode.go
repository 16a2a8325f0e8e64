// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/binary"
	"errors"
	"time"

	"elsa/pkg/usage"
)

// Values of usage are stored as a list of unsigned varints in a fixed order,
// with their number in front. The order only grows: a reader takes what it
// knows, and what an older writer did not write is zero.

var errShort = errors.New("value is cut short")

type list []uint64

func (l list) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(l)))
	for _, v := range l {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

// readList decodes a list from b and returns what follows it.
func readList(b []byte) (list, []byte, error) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)) {
		return nil, nil, errShort
	}
	b = b[w:]
	l := make(list, n)
	for i := range l {
		v, w := binary.Uvarint(b)
		if w <= 0 {
			return nil, nil, errShort
		}
		l[i], b = v, b[w:]
	}
	return l, b, nil
}

// scan copies the list into the variables, as far as it goes.
func (l list) scan(vars ...any) {
	for i, v := range vars {
		if i >= len(l) {
			return
		}
		switch v := v.(type) {
		case *uint64:
			*v = l[i]
		case *time.Duration:
			*v = time.Duration(l[i])
		case *int64:
			*v = int64(l[i])
		}
	}
}

func usageList(u *usage.Usage) list {
	return list{
		u.Started, u.Ended, uint64(u.User), uint64(u.System), uint64(u.Elapsed),
		u.MinorFaults, u.MajorFaults, u.ReadBytes, u.WriteBytes, u.ReadChars, u.WriteChars,
		u.MaxRSS, u.VoluntarySwitches, u.InvoluntarySwitches, u.ExitNonzero, u.ExitSignal,
		u.Exact, u.Sampled, u.Rounded, u.Inferred,
	}
}

func (l list) usage() (u usage.Usage) {
	l.scan(&u.Started, &u.Ended, &u.User, &u.System, &u.Elapsed,
		&u.MinorFaults, &u.MajorFaults, &u.ReadBytes, &u.WriteBytes, &u.ReadChars, &u.WriteChars,
		&u.MaxRSS, &u.VoluntarySwitches, &u.InvoluntarySwitches, &u.ExitNonzero, &u.ExitSignal,
		&u.Exact, &u.Sampled, &u.Rounded, &u.Inferred)
	return u
}

func measureList(m *usage.Measure) list {
	return list{
		uint64(m.User), uint64(m.System), uint64(m.Elapsed), m.MinorFaults, m.MajorFaults,
		m.ReadBytes, m.WriteBytes, m.ReadChars, m.WriteChars, m.MaxRSS,
		m.VoluntarySwitches, m.InvoluntarySwitches,
	}
}

func (l list) measure() (m usage.Measure) {
	l.scan(&m.User, &m.System, &m.Elapsed, &m.MinorFaults, &m.MajorFaults,
		&m.ReadBytes, &m.WriteBytes, &m.ReadChars, &m.WriteChars, &m.MaxRSS,
		&m.VoluntarySwitches, &m.InvoluntarySwitches)
	return m
}
