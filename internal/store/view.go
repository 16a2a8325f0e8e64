// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"

	bolt "go.etcd.io/bbolt"

	"elsa/internal/history"
	"elsa/pkg/usage"
)

// View is the database as one commit left it. While it is open, the pages that it can
// see are not used again, and the file may not grow: close it soon. One goroutine at a
// time may use it.
type View struct{ tx *bolt.Tx }

// View opens a view of what was committed last. The caller must close it.
func (s *Store) View() (*View, error) {
	tx, err := s.db.Begin(false)
	if err != nil {
		return nil, fmt.Errorf("open view of database: %w", err)
	}
	return &View{tx}, nil
}

// Close gives the view back. It may be called once.
func (v *View) Close() error {
	if err := v.tx.Rollback(); err != nil {
		return fmt.Errorf("close view of database: %w", err)
	}
	return nil
}

// History calls f for every cell of the hours from first to before last, in
// order of time. f must not keep the key's Groups.
func (v *View) History(first, last uint32, f func(*history.Key, *usage.Usage) error) error {
	if err := sound(func() error { return each(v.tx, first, last, f) }); err != nil {
		return fmt.Errorf("read history: %w", err)
	}
	return nil
}
