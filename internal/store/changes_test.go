// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"elsa/internal/history"
	"elsa/pkg/usage"
)

// Only the hours that changed after a mark are read; all of them after a mark of an
// earlier run, and when so many changed that they are not told apart.
func TestHistoryAfter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "elsa.db")
	open := func() *Store {
		s, err := Open(path, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	add := func(hours ...uint32) {
		t.Helper()
		if err := s.Commit(func(tx *Tx) {
			for _, h := range hours {
				tx.AddCell(&history.Key{Hour: h, Command: "x"}, &usage.Usage{usage.Ended: 1})
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	read := func(mark string, most int) (hours []uint32, now string) {
		t.Helper()
		now, err := s.HistoryAfter(mark, 2, 1<<32-1, func(k *history.Key, _ *usage.Usage) error {
			if len(hours) == most {
				return ErrEnough
			}
			hours = append(hours, k.Hour)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return hours, now
	}
	check := func(mark string, want ...uint32) string {
		t.Helper()
		got, now := read(mark, 9)
		if !slices.Equal(got, want) {
			t.Errorf("after %q: hours %v, want %v", mark, got, want)
		}
		return now
	}
	add(1, 2, 3, 5)
	first := check("", 2, 3, 5)
	check(first)
	add(3)
	second := check(first, 3)
	add(5, 7)
	check(first, 3, 5, 7)
	check(second, 5, 7)
	if got, _ := read("", 2); !slices.Equal(got, []uint32{2, 3}) {
		t.Errorf("enough: %v", got)
	}
	if err := s.Commit(func(tx *Tx) { tx.AddCell(&history.Key{Hour: 2}, &usage.Usage{}); tx.last = errors.New("torn") }); err == nil {
		t.Fatal("a torn transaction is made")
	}
	check(first, 2, 3, 5, 7) // changed or not, it is read
	last := check("x", 2, 3, 5, 7)
	s.Close()
	s = open()
	defer s.Close()
	check(last, 2, 3, 5, 7)
	now := check("", 2, 3, 5, 7)
	for h := range uint32(maxChanged + 1) {
		s.changes.note(1000+h, 1<<40)
	}
	check(now, 2, 3, 5, 7)
}
