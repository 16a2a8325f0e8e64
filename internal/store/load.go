// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// Load reads the whole state.
func (s *Store) Load() (*State, error) {
	st := &State{}
	err := sound(func() error {
		return s.db.View(st.load)
	})
	if err != nil {
		return nil, fmt.Errorf("read database %s: %w", s.path, damaged(err))
	}
	return st, nil
}

func (st *State) load(tx *bolt.Tx) error {
	meta := bucket{Bucket: tx.Bucket(buckets[inMeta]), in: inMeta}
	if meta.Get(keyMeta) == nil {
		return errors.New("state is missing")
	}
	for _, r := range []struct {
		key  []byte
		read func([]byte) error
	}{
		{keyMeta, func(v []byte) error { return json.Unmarshal(v, &st.Meta) }},
		{keyHeld, func(v []byte) error { return json.Unmarshal(v, &st.Held) }},
		{keyJournal, func(v []byte) error { return json.Unmarshal(v, &st.Journal) }},
		{keyAncestors, st.readAncestors},
	} {
		v, err := meta.get(r.key)
		if err == nil && v != nil {
			err = r.read(v)
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", r.key, err)
		}
	}
	for _, r := range []struct {
		in   int
		read func(k, v []byte) error
	}{
		{inGroups, st.readGroup}, {inSets, st.readSet}, {inMembers, st.readMember}, {inDeaths, st.readDeath}, {inOrigins, st.readOrigin},
	} {
		b := bucket{Bucket: tx.Bucket(buckets[r.in]), in: r.in}
		if err := b.each(r.read); err != nil {
			return fmt.Errorf("read %s: %w", buckets[r.in], err)
		}
	}
	return nil
}

func (st *State) readGroup(_, v []byte) error {
	var g groups.Group
	if err := json.Unmarshal(v, &g); err != nil {
		return err
	}
	if g.Labels == nil {
		g.Labels = map[string]string{}
	}
	st.Groups = append(st.Groups, g)
	return nil
}

// maxSet bounds the ids of sets, for which memory is made.
const maxSet = 1 << 24

func (st *State) readSet(k, v []byte) error {
	ids, v, err := readList(v)
	if err != nil {
		return err
	}
	u, _, err := readList(v)
	if err != nil || len(k) != 4 {
		return errShort
	}
	set := Set{ID: groups.SetID(binary.BigEndian.Uint32(k)), Usage: u.usage()}
	if set.ID >= maxSet {
		return fmt.Errorf("set %d is more than there can be", set.ID)
	}
	for _, id := range ids {
		set.Groups = append(set.Groups, uint32(id))
	}
	st.Sets = append(st.Sets, set)
	return nil
}

func (st *State) readMember(k, v []byte) error {
	l, v, err := readList(v)
	if err != nil || len(k) != 12 || len(l) < 4 {
		return errShort
	}
	base, v, err := readList(v)
	if err != nil {
		return err
	}
	last, v, err := readList(v)
	if err != nil {
		return err
	}
	var cell list // early versions had none
	if len(v) > 0 {
		if cell, _, err = readList(v); err != nil {
			return err
		}
	}
	of := cell.cell(0)
	pid, start := pidAndStart(k)
	st.Members = append(st.Members, Member{
		Life: groups.Life{
			PID: pid, Start: l.startAt(start, 4), PPID: int32(l[0]), Set: groups.SetID(l[1]), Exit: clock.Boot(l[2]),
			Inferred: l[3]&1 != 0, Unproven: l[3]&2 != 0, HasAccount: l[3]&4 != 0,
		},
		Account: usage.Account{Base: base.measure(), Last: last.measure(), Hour: of.Hour, UID: of.UID, Comm: of.Comm},
	})
	return nil
}

func (st *State) readDeath(_, v []byte) error {
	l, v, err := readList(v)
	if err != nil || len(l) < 5 {
		return errShort
	}
	start := l.startAt(clock.Boot(l[1]), 6)
	if len(l) <= 6 && (len(l) <= 5 || l[5] == 0) {
		start = clock.At(clock.Boot(l[1]), clock.Second) // of a process that nobody knew
	}
	d := usage.OpenDeath{
		Key: groups.Key{PID: int32(l[0]), Start: start}, Set: groups.SetID(l[2]),
		Reported: time.Duration(l[3]), Grade: uint8(l[4]),
		// Early versions did not store these; nearly every death has both.
		Lined: len(l) <= 7 || l[7] == 1, Exited: len(l) <= 8 || l[8] == 1,
	}
	if len(l) > 10 {
		d.At, d.Looked = clock.Boot(l[9]), l[10] == 1
	}
	if len(l) > 12 {
		d.Seq, d.Status = l[11], uint32(l[12])
	}
	for _, m := range []*usage.Measure{&d.Base, &d.Charged, &d.Estimate} {
		var ml list
		if ml, v, err = readList(v); err != nil {
			return err
		}
		*m = ml.measure()
	}
	if c, _, err := readList(v); err == nil {
		d.Cell = c.cell(d.Set)
	}
	st.Deaths = append(st.Deaths, d)
	return nil
}
