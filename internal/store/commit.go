// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"elsa/internal/fault"
	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// Tx is one transaction of changes. The first error of any of its methods rolls
// it back, and is returned by Commit.
type Tx struct {
	meta, groups, sets, members, deaths *bolt.Bucket
	history, origins                    *bolt.Bucket

	bolt  *bolt.Tx
	store *Store
	n     uint32 // deaths put
	err   error
}

// Commit runs f in one transaction and returns once it is on disk. When f or
// the disk fails, nothing is changed.
func (s *Store) Commit(f func(*Tx)) error {
	deaths := s.deaths
	err := s.db.Update(func(btx *bolt.Tx) error {
		tx := &Tx{
			meta: btx.Bucket(bucketMeta), groups: btx.Bucket(bucketGroups), sets: btx.Bucket(bucketSets),
			members: btx.Bucket(bucketMembers), deaths: btx.Bucket(bucketDeaths), store: s, bolt: btx,
			history: btx.Bucket(bucketHistory), origins: btx.Bucket(bucketOrigins),
		}
		tx.history.FillPercent = 0.9 // in order of time: pages stay full
		f(tx)
		for i := tx.n; i < s.deaths; i++ {
			tx.note(tx.deaths.Delete(key32(i)))
		}
		s.deaths = tx.n
		tx.note(fault.Point(fault.CommitTransaction))
		return tx.err
	})
	if err != nil {
		s.deaths = deaths
		return fmt.Errorf("commit to database %s: %w", s.db.Path(), err)
	}
	return nil
}

func (tx *Tx) note(err error) {
	if tx.err == nil {
		tx.err = err
	}
}

// Clear forgets all groups, sets and members, to be put again. It may come at any
// point of the transaction: what was put before is forgotten, too.
func (tx *Tx) Clear() {
	tx.groups, tx.sets, tx.members = tx.renew(bucketGroups), tx.renew(bucketSets), tx.renew(bucketMembers)
}

// renew puts an empty bucket in the place of one. To delete key by key would skip
// some where the transaction has changed the bucket: a cursor does not stand still
// while its page changes.
func (tx *Tx) renew(name []byte) *bolt.Bucket {
	tx.note(tx.bolt.DeleteBucket(name))
	b, err := tx.bolt.CreateBucketIfNotExists(name)
	if err != nil {
		tx.note(err)
		return tx.bolt.Bucket(name)
	}
	return b
}

// Meta puts the service's state.
func (tx *Tx) Meta(m Meta) { tx.note(putJSON(tx.meta, keyMeta, m)) }

// Held puts the precise records whose lines were not joined, in place of those
// put before. They are few, and there are none but at a planned stop.
func (tx *Tx) Held(rs []acct.Record) {
	if len(rs) == 0 {
		tx.note(tx.meta.Delete(keyHeld))
		return
	}
	tx.note(putJSON(tx.meta, keyHeld, rs))
}

// PutGroup puts a group, new or changed.
func (tx *Tx) PutGroup(g groups.Group) { tx.note(putJSON(tx.groups, key32(g.ID), g)) }

// DeleteGroup forgets a group.
func (tx *Tx) DeleteGroup(id uint32) { tx.note(tx.groups.Delete(key32(id))) }

// PutSet puts a set's groups and bill. A set without groups, other than the two
// that always exist, is forgotten.
func (tx *Tx) PutSet(id groups.SetID, gs []uint32, u *usage.Usage) {
	if len(gs) == 0 && id > groups.Unattributed {
		tx.note(tx.sets.Delete(key32(uint32(id))))
		return
	}
	ids := make(list, len(gs))
	for i, g := range gs {
		ids[i] = uint64(g)
	}
	// bbolt keeps the value until the commit: no shared buffer.
	tx.note(tx.sets.Put(key32(uint32(id)), usageList(u).append(ids.append(nil))))
}

// PutMember puts a life that must be known after a crash.
func (tx *Tx) PutMember(l groups.Life, a usage.Account) {
	flags := uint64(0)
	for i, on := range []bool{l.Inferred, l.Unproven, l.HasAccount} {
		if on {
			flags |= 1 << i
		}
	}
	v := list{uint64(l.PPID), uint64(l.Set), uint64(l.Exit), flags, uint64(l.Start.Grain())}.append(make([]byte, 0, 64))
	v = measureList(&a.Base).append(v)
	v = measureList(&a.Last).append(v)
	tx.note(tx.members.Put(memberKey(l.Key()), v))
}

// DeleteMember forgets a life.
func (tx *Tx) DeleteMember(k groups.Key) { tx.note(tx.members.Delete(memberKey(k))) }

// PutDeath puts a death that waits for its exact record. Every transaction must
// put all of them: those of the transaction before are forgotten.
func (tx *Tx) PutDeath(d usage.OpenDeath) {
	v := list{uint64(d.Key.PID), uint64(d.Key.Start.Boot()), uint64(d.Set), uint64(d.Reported), uint64(d.Grade),
		flag(d.Key.Start.Grain() != clock.Second), uint64(d.Key.Start.Grain()), flag(d.Lined), flag(d.Exited), uint64(d.At), flag(d.Looked)}.append(nil)
	for _, m := range []*usage.Measure{&d.Base, &d.Charged, &d.Estimate} {
		v = measureList(m).append(v)
	}
	v = cellList(&d.Cell).append(v)
	tx.note(tx.deaths.Put(key32(tx.n), v))
	tx.n++
}

func flag(on bool) uint64 {
	if on {
		return 1
	}
	return 0
}

func putJSON(b *bolt.Bucket, key []byte, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.Put(key, data)
}

func key32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func memberKey(k groups.Key) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 12), uint32(k.PID))
	return binary.BigEndian.AppendUint64(b, uint64(k.Start.Boot()))
}

// pidAndStart decodes what memberKey encodes.
func pidAndStart(b []byte) (pid int32, start clock.Boot) {
	return int32(binary.BigEndian.Uint32(b)), clock.Boot(binary.BigEndian.Uint64(b[4:]))
}
