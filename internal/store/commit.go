// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"elsa/internal/fault"
	"elsa/internal/history"
	"elsa/pkg/usage"
)

// Commit runs f on a new Tx and writes it.
func (s *Store) Commit(f func(*Tx)) error {
	tx := &Tx{}
	f(tx)
	return s.Write(tx)
}

// Write puts all changes of tx in one transaction and returns once it is on disk.
// When that fails, nothing is changed, but see [Tx.Applied]. It waits for the disk as
// long as that takes.
func (s *Store) Write(tx *Tx) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.broken
	if err == nil {
		err = s.write(tx)
		s.measure()
	}
	if err != nil {
		return fmt.Errorf("commit to database %s: %w", s.path, err)
	}
	return nil
}

func (s *Store) write(tx *Tx) error {
	sums, ended, id := s.digests, false, 0
	err := sound(func() error {
		err := s.db.Update(func(btx *bolt.Tx) error {
			id = btx.ID()
			return write(btx, &sums, func(w *writing) error { return w.all(tx, s.deaths, &s.changes) })
		})
		if err != nil && id != 0 {
			// The last write of all may have failed after it was made.
			err = errors.Join(err, s.db.View(func(now *bolt.Tx) error {
				tx.applied = now.ID() == id
				return nil
			}))
		}
		ended = true
		return err
	})
	if !ended {
		s.broken = err
	}
	if err == nil {
		tx.applied = true
	}
	if tx.applied {
		s.digests, s.deaths = sums, tx.deaths
	}
	return err
}

// writing is a transaction of bbolt under way.
type writing struct {
	tx      *bolt.Tx
	buckets [numBuckets]bucket
}

// write calls f and then puts the digests, which f brings up to date.
func write(btx *bolt.Tx, sums *digests, f func(*writing) error) error {
	w := &writing{tx: btx}
	for in, name := range buckets {
		w.buckets[in] = bucket{btx.Bucket(name), in, &sums[in]}
	}
	w.buckets[inHistory].FillPercent = 0.9 // in order of time: pages stay full
	if err := f(w); err != nil {
		return err
	}
	sealed, _ := seal(inMeta, keyDigests, sums.append(nil, uint64(btx.ID())))
	return w.buckets[inMeta].Put(keyDigests, sealed)
}

// all makes the changes of a Tx, in their order.
func (w *writing) all(tx *Tx, deaths uint32, history *changes) error {
	if tx.err != nil {
		return tx.err
	}
	for i := range tx.changes {
		c := &tx.changes[i]
		b := &w.buckets[c.in]
		var err error
		switch c.does {
		case puts:
			err = b.put(c.key, c.value)
		case deletes:
			err = b.delete(c.key)
		case clears:
			err = w.clear(c.in)
		case adds:
			history.note(binary.BigEndian.Uint32(c.key), uint64(w.tx.ID()))
			err = w.add(c.key, c.usage)
		case drops:
			tx.dropped, err = w.drop(c.key, c.most)
		case addsUp:
			tx.addedUp, err = w.addUp(c.key, c.value, c.most)
		case finds:
			tx.next, tx.found = w.find(c.key)
		}
		if err != nil {
			return err
		}
	}
	for i := tx.deaths; i < deaths; i++ {
		if err := w.buckets[inDeaths].delete(key32(i)); err != nil {
			return err
		}
	}
	return errors.Join(tx.last, fault.Point(fault.CommitTransaction))
}

// clear puts an empty bucket in the place of one. To delete key by key would skip
// some where the transaction has changed the bucket: a cursor does not stand still
// while its page changes.
func (w *writing) clear(in int) error {
	if err := w.tx.DeleteBucket(buckets[in]); err != nil {
		return err
	}
	b, err := w.tx.CreateBucket(buckets[in])
	w.buckets[in].Bucket, *w.buckets[in].digest = b, digest{}
	return err
}

// add adds to a cell of the history.
func (w *writing) add(key []byte, more *usage.Usage) error {
	b := &w.buckets[inHistory]
	value, err := b.get(key)
	if err != nil {
		return err
	}
	sum := *more
	if value != nil {
		l, _, err := readList(value)
		if err != nil {
			return b.named(err)
		}
		sum = l.usage()
		sum.Add(more)
	}
	return b.put(key, usageList(&sum).append(nil))
}

// drop deletes what is before a key, the first and so many at most, and returns how
// many there were.
func (w *writing) drop(before []byte, most int) (n int, err error) {
	b := &w.buckets[inHistory]
	c := b.Cursor()
	for k, v := c.First(); k != nil && n < most && bytes.Compare(k, before) < 0; k, v = c.First() {
		if err := errors.Join(b.forget(k, v), c.Delete()); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// addUp adds the cells of hours behind the first and before last to those of the hour
// first, so many at most, and returns how many there were.
func (w *writing) addUp(first, last []byte, most int) (n int, err error) {
	b := &w.buckets[inHistory]
	c := b.Cursor()
	hour := binary.BigEndian.Uint32(first)
	var key history.Key
	from := key32(hour + 1)
	for k, v := c.Seek(from); k != nil && n < most && bytes.Compare(k, last) < 0; k, v = c.Seek(from) {
		value, _, err := unseal(inHistory, k, v)
		if err != nil {
			return n, b.named(err)
		}
		l, _, err := readList(value)
		if err := errors.Join(err, cellOfKey(k, &key)); err != nil {
			return n, b.named(err)
		}
		more := l.usage()
		if err := errors.Join(b.forget(k, v), c.Delete()); err != nil {
			return n, err
		}
		key.Hour = hour
		if err := w.add(keyOfCell(&key), &more); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// find is the first hour from the given one on that the history has.
func (w *writing) find(from []byte) (hour uint32, ok bool) {
	if k, _ := w.buckets[inHistory].Cursor().Seek(from); len(k) >= 4 {
		return binary.BigEndian.Uint32(k), true
	}
	return 0, false
}
