// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"encoding/binary"
	"errors"

	bolt "go.etcd.io/bbolt"

	"elsa/internal/history"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// unattributedGroups stands for the number of groups of an unattributed cell.
const unattributedGroups = 1<<16 - 1

// keyOfCell is hour (u32), uid (u32), number of groups (u16), their ids (u32
// each) and the command, big endian: the history is in order of time.
func keyOfCell(k *history.Key) []byte {
	b := make([]byte, 0, 10+4*len(k.Groups)+len(k.Command))
	b = binary.BigEndian.AppendUint32(b, k.Hour)
	b = binary.BigEndian.AppendUint32(b, k.UID)
	n := uint16(min(len(k.Groups), unattributedGroups-1))
	if k.Unattributed {
		return append(binary.BigEndian.AppendUint16(b, unattributedGroups), k.Command...)
	}
	b = binary.BigEndian.AppendUint16(b, n)
	for _, g := range k.Groups[:n] {
		b = binary.BigEndian.AppendUint32(b, g)
	}
	return append(b, k.Command...)
}

func cellOfKey(b []byte, k *history.Key) error {
	if len(b) < 10 {
		return errShort
	}
	n := int(binary.BigEndian.Uint16(b[8:]))
	*k = history.Key{Hour: binary.BigEndian.Uint32(b), UID: binary.BigEndian.Uint32(b[4:]), Groups: k.Groups[:0]}
	b = b[10:]
	if n == unattributedGroups {
		k.Unattributed, n = true, 0
	}
	if len(b) < 4*n {
		return errShort
	}
	for i := range n {
		k.Groups = append(k.Groups, binary.BigEndian.Uint32(b[4*i:]))
	}
	k.Command = string(b[4*n:])
	return nil
}

// cellList is what is stored of a waiting death's cell, beside its set.
func cellList(c *usage.Cell) list {
	return list{uint64(c.Hour), uint64(c.UID), binary.BigEndian.Uint64(c.Comm[:8]), binary.BigEndian.Uint64(c.Comm[8:])}
}

func (l list) cell(set groups.SetID) usage.Cell {
	var v [4]uint64
	copy(v[:], l)
	c := usage.Cell{Hour: uint32(v[0]), UID: uint32(v[1]), Set: set}
	binary.BigEndian.PutUint64(c.Comm[:8], v[2])
	binary.BigEndian.PutUint64(c.Comm[8:], v[3])
	return c
}

// History calls f for every cell of the hours from first to before last, in
// order of time. f must not keep the key's Groups.
func (s *Store) History(first, last uint32, f func(*history.Key, *usage.Usage) error) error {
	v, err := s.View()
	if err != nil {
		return err
	}
	return errors.Join(v.History(first, last, f), v.Close())
}

func each(tx *bolt.Tx, first, last uint32, f func(*history.Key, *usage.Usage) error) error {
	b := bucket{Bucket: tx.Bucket(buckets[inHistory]), in: inHistory}
	c, end := b.Cursor(), key32(last)
	var key history.Key
	for k, v := c.Seek(key32(first)); k != nil && bytes.Compare(k, end) < 0; k, v = c.Next() {
		value, _, err := unseal(inHistory, k, v)
		if err != nil {
			return b.named(err)
		}
		l, _, err := readList(value)
		if err := errors.Join(err, cellOfKey(k, &key)); err != nil {
			return b.named(err)
		}
		u := l.usage()
		if err := f(&key, &u); err != nil {
			return err
		}
	}
	return nil
}
