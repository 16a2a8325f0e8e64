// SPDX-License-Identifier: Apache-2.0

package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/internal/lineage"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

func TestLineage(t *testing.T) {
	s := openTemp(t)
	o := func(group uint32, seq uint64) lineage.Origin {
		return lineage.Origin{Group: group, Seq: seq, Key: groups.Key{PID: 5, Start: clock.At(6, clock.Read)}, BootID: "b", Time: time.Unix(7, 8).UTC(), UID: 9, Rule: 3, Command: "sh"}
	}
	a := lineage.Ancestor{Key: groups.Key{PID: 1, Start: clock.At(2, clock.Exact)}, PPID: 3, Exit: 4, Comm: [16]byte{'x', 0xff}}
	for _, f := range []func(*Tx){
		func(tx *Tx) {
			tx.PutOrigin(o(2, 1))
			tx.PutOrigin(o(1, 300))
			tx.PutOrigin(o(1, 2))
			tx.PutAncestors([]lineage.Ancestor{{PPID: 99}})
		},
		func(tx *Tx) {
			tx.DeleteOrigin(o(2, 1))
			tx.PutAncestors([]lineage.Ancestor{a})
			tx.Clear() // not of these
		},
	} {
		if err := s.Commit(f); err != nil {
			t.Fatal(err)
		}
	}
	st, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]lineage.Origin{o(1, 2), o(1, 300)}, st.Origins); diff != "" {
		t.Errorf("origins (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]lineage.Ancestor{a}, st.Ancestors); diff != "" {
		t.Errorf("ancestors (-want +got):\n%s", diff)
	}
}
