// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"path/filepath"
	"testing"

	"elsa/internal/history"
	"elsa/pkg/usage"
)

// BenchmarkOpen opens a database of 90 days of history with 100 commands in every
// hour: all of it is read and checked, as at each start.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "elsa.db")
	s, err := Open(path, day)
	if err != nil {
		b.Fatal(err)
	}
	for d := range uint32(90) {
		if err := s.Commit(func(tx *Tx) {
			for i := range uint32(2400) {
				tx.AddCell(&history.Key{Hour: 490000 + 24*d + i/100, UID: i % 3, Groups: []uint32{i % 4}, Command: fmt.Sprint("command", i%100)}, &usage.Usage{
					usage.Ended: uint64(i), usage.User: 123456789, usage.System: 2345678, usage.Elapsed: 1e10, usage.MinorFaults: 12345,
					usage.ReadBytes: 1 << 20, usage.WriteBytes: 1 << 16, usage.ReadChars: 1 << 22, usage.MaxRSS: 1 << 24, usage.Exact: uint64(i),
				})
			}
		}); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(s.Size())
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := Open(path, day)
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}
