// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/binary"
	"errors"

	"elsa/internal/fill"
	"elsa/pkg/usage"
)

// Keys of the bucket of fills are the group (u32) and what the value is.
const (
	isPart  = 1 // then the other groups (u32 each) → usage list
	isTaken = 2 // then n (u32) → source, a byte with its length in front; rows as package fill encodes them
)

func partKey(p *usage.Filled) []byte {
	b := append(key32(p.Group), isPart)
	for _, g := range p.Others {
		b = binary.BigEndian.AppendUint32(b, g)
	}
	return b
}

func takenKey(group, n uint32) []byte {
	return binary.BigEndian.AppendUint32(append(key32(group), isTaken), n)
}

// PutFilled puts what a group took of the past that some other groups had.
func (tx *Tx) PutFilled(p *usage.Filled) {
	tx.put(inFills, partKey(p), usageList(&p.Usage).append(nil))
}

// DeleteFilled forgets it.
func (tx *Tx) DeleteFilled(p *usage.Filled) { tx.delete(inFills, partKey(p)) }

// PutTaken puts the rows that a group took at once.
func (tx *Tx) PutTaken(t *fill.Taken) {
	v := append(make([]byte, 0, 1+len(t.Source)+len(t.Runs)+sumSize), byte(len(t.Source)))
	tx.put(inFills, takenKey(t.Group, t.N), append(append(v, t.Source...), t.Runs...))
}

// DeleteTaken forgets them.
func (tx *Tx) DeleteTaken(group, n uint32) { tx.delete(inFills, takenKey(group, n)) }

func (st *State) readFill(k, v []byte) error {
	if len(k) < 5 || len(k)%4 != 1 {
		return errShort
	}
	group, rest := binary.BigEndian.Uint32(k), k[5:]
	switch k[4] {
	case isPart:
		p := usage.Filled{Group: group}
		for ; len(rest) > 0; rest = rest[4:] {
			p.Others = append(p.Others, binary.BigEndian.Uint32(rest))
		}
		l, _, err := readList(v)
		p.Usage = l.usage()
		st.Filled = append(st.Filled, p)
		return err
	case isTaken:
		if len(rest) != 4 || len(v) == 0 || len(v) < 1+int(v[0]) {
			return errShort
		}
		rows, err := fill.NewRows(string(v[1:1+v[0]]), append([]byte(nil), v[1+v[0]:]...))
		st.Taken = append(st.Taken, fill.Taken{Group: group, N: binary.BigEndian.Uint32(rest), Rows: rows})
		return err
	}
	return errors.New("value of an unknown kind")
}
