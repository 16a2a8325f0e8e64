// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"elsa/internal/history"
	"elsa/pkg/usage"
)

// upgrade brings a file of an earlier schema up to the present one, in one transaction,
// once all that it holds could be read. It writes nothing to a file of this schema.
func (s *Store) upgrade() error {
	var old byte
	if err := s.db.View(func(tx *bolt.Tx) error {
		old = tx.Bucket(buckets[inMeta]).Get(keySchema)[0]
		return nil
	}); err != nil || old == schema {
		return err
	}
	sums := s.digests
	if old == 1 {
		sums = digests{}
	}
	err := s.db.Update(func(btx *bolt.Tx) error {
		for in, name := range buckets {
			b, err := btx.CreateBucketIfNotExists(name) // early versions lack some
			if err != nil {
				return err
			}
			if old > 1 {
				continue // its values are sealed
			}
			if err := sealAll(b, in, &sums[in]); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		if err := btx.Bucket(buckets[inMeta]).Put(keySchema, []byte{schema}); err != nil {
			return err
		}
		if err := write(btx, &sums, func(*writing) error { return nil }); err != nil {
			return err
		}
		if err := (&State{}).load(btx); err != nil {
			return damaged(err)
		}
		return each(btx, 0, 1<<32-1, func(*history.Key, *usage.Usage) error { return nil })
	})
	if err != nil {
		return fmt.Errorf("bring it up to schema %d: %w", schema, err)
	}
	s.digests, s.deaths = sums, uint32(sums[inDeaths].n)
	return nil
}

// sealAll gives every value of a bucket its checksum.
func sealAll(b *bolt.Bucket, in int, d *digest) error {
	type entry struct{ key, value []byte }
	var all []entry // a bucket must not change while it is gone through
	if err := b.ForEach(func(key, value []byte) error {
		if value == nil {
			return damaged(errors.New("there is a bucket in it"))
		}
		if !unsealed(in, key) {
			all = append(all, entry{bytes.Clone(key), value})
		}
		return nil
	}); err != nil {
		return err
	}
	for _, e := range all {
		sealed, sum := seal(in, e.key, bytes.Clone(e.value))
		if err := b.Put(e.key, sealed); err != nil {
			return err
		}
		d.add(sum)
	}
	return nil
}
