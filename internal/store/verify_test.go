// SPDX-License-Identifier: Apache-2.0

package store

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"elsa/internal/history"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// Verify puts all again and changes nothing.
func TestVerify(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "elsa.db"))
	want := full()
	if err := s.Commit(put(want)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Verify(); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, mustLoad(t, s), ignoreStored); diff != "" {
		t.Errorf("state after Verify (-want +got):\n%s", diff)
	}
	if err := s.Commit(func(*Tx) {}); err != nil || len(mustLoad(t, s).Deaths) != 0 {
		t.Errorf("deaths that were not put again are left: %v", err)
	}
}

// The death of a member in more groups than a key can name is committed all the
// same. Without the bound of the history's cells Verify says that it cannot be.
func TestVerifyRehearsesDeaths(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "elsa.db"))
	st := full()
	many := Set{ID: 1000, Groups: make([]uint32, 8190)}
	for i := range many.Groups {
		many.Groups[i] = uint32(i + 1)
	}
	st.Sets = append(st.Sets, many)
	st.Members = append(st.Members, Member{Life: groups.Life{PID: 9, Start: 9, Set: many.ID}})
	if err := s.Commit(put(st)); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(); err != nil {
		t.Error(err)
	}
	err := s.Commit(func(tx *Tx) { tx.AddCell(&history.Key{Groups: many.Groups}, &usage.Usage{}) })
	if err == nil {
		t.Error("a key of so many groups was put: there is nothing to rehearse")
	}
}
