// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	bolt "go.etcd.io/bbolt"

	"elsa/internal/history"
	"elsa/pkg/usage"
)

// changes tells by which transaction of this run the hours of the history changed last.
type changes struct {
	run   string // begins the marks of this run
	mu    sync.Mutex
	since uint64 // by which transaction an hour that is not listed changed at the latest
	hours map[uint32]uint64
}

func newRun() string { return rand.Text()[:13] + "-" }

// maxChanged bounds the hours that are listed. Beyond it all count as changed.
const maxChanged = 4096

// note says that a transaction changes an hour. It comes before the transaction can be
// read: one that fails makes an hour look changed that is not.
func (c *changes) note(hour uint32, by uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.hours) >= maxChanged {
		clear(c.hours)
		c.since = by
	}
	if c.hours == nil {
		c.hours = map[uint32]uint64{}
	}
	c.hours[hour] = by
}

func (c *changes) of(hour uint32) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if by, ok := c.hours[hour]; ok {
		return by
	}
	return c.since
}

// ErrEnough ends a reading without being an error of it.
var ErrEnough = errors.New("enough is read")

// HistoryAfter is History for the hours alone that changed after a mark, which an earlier
// call returned. All count as changed after the empty mark, and after one of an earlier
// run: an older database may have been put back since. It returns the mark of what was
// read.
func (s *Store) HistoryAfter(mark string, first, last uint32, f func(*history.Key, *usage.Usage) error) (now string, err error) {
	text, found := strings.CutPrefix(mark, s.changes.run)
	after, _ := strconv.ParseUint(text, 10, 64)
	err = sound(func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			now = s.changes.run + strconv.Itoa(tx.ID())
			c, end := tx.Bucket(buckets[inHistory]).Cursor(), key32(last)
			for k, _ := c.Seek(key32(first)); len(k) >= 4 && bytes.Compare(k, end) < 0; {
				hour := binary.BigEndian.Uint32(k)
				if !found || s.changes.of(hour) > after {
					if err := each(tx, hour, hour+1, f); err != nil {
						return err
					}
				}
				k, _ = c.Seek(key32(hour + 1))
			}
			return nil
		})
	})
	if err != nil && !errors.Is(err, ErrEnough) {
		return now, fmt.Errorf("read history: %w", err)
	}
	return now, nil
}
