// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/binary"
	"errors"

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

// usageList is a usage in the order that [usage.Stored] keeps. A list of an early
// version is shorter: what it lacks is zero. What a later version added is left
// out.
func usageList(u *usage.Usage) list {
	l := make(list, len(usage.Stored))
	for i, f := range usage.Stored {
		l[i] = u[f]
	}
	return l
}

func (l list) usage() (u usage.Usage) {
	for i := range min(len(l), len(usage.Stored)) {
		u[usage.Stored[i]] = l[i]
	}
	return u
}

func measureList(m *usage.Measure) list { return m[:] }

func (l list) measure() (m usage.Measure) {
	copy(m[:], l)
	return m
}
