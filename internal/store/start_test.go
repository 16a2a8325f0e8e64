// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/binary"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"elsa/internal/lineage"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// A start keeps its grain, wherever it is stored.
func TestGrains(t *testing.T) {
	for _, at := range []clock.Boot{0, 7, 1e7, 7e17} {
		for g := clock.Exact; g <= clock.Second; g++ {
			s, want := openTemp(t), groups.Key{PID: 5, Start: clock.At(at, g)}
			if err := s.Commit(func(tx *Tx) {
				tx.PutMember(groups.Life{PID: want.PID, Start: want.Start}, usage.Account{})
				tx.PutDeath(usage.OpenDeath{Key: want})
				tx.PutOrigin(lineage.Origin{Key: want, Command: "a"})
				tx.PutAncestors([]lineage.Ancestor{{Key: want, PPID: 3}})
			}); err != nil {
				t.Fatal(err)
			}
			for _, got := range keysIn(t, s) {
				if got != want {
					t.Errorf("stored %v, read %v", want, got)
				}
			}
			if err := s.Commit(func(tx *Tx) { tx.DeleteMember(want) }); err != nil {
				t.Fatal(err)
			}
			if st := mustLoad(t, s); len(st.Members) != 0 {
				t.Errorf("%v is there after it was deleted", want)
			}
		}
	}
}

// keysIn are those of the member, the death, the origin and the ancestor.
func keysIn(t *testing.T, s *Store) []groups.Key {
	t.Helper()
	st := mustLoad(t, s)
	if len(st.Members) != 1 || len(st.Deaths) != 1 || len(st.Origins) != 1 || len(st.Ancestors) != 1 {
		t.Fatalf("%+v, want one of each", st)
	}
	return []groups.Key{st.Members[0].Life.Key(), st.Deaths[0].Key, st.Origins[0].Key, st.Ancestors[0].Key}
}

// Early files have starts without a grain: a multiple of 10 ms was of /proc. A
// death whose start was not known had its second.
func TestStartsWithoutGrain(t *testing.T) {
	// By the types of then.
	type key struct {
		PID   int32
		Start int64
	}
	for _, tt := range []struct {
		at    int64
		known uint64
		want  clock.Grain
		death clock.Grain
	}{
		{12_340_000_000, 1, clock.Tick, clock.Tick},
		{12_345_678_901, 1, clock.Stamped, clock.Stamped},
		{12_340_000_000, 0, clock.Tick, clock.Second},
	} {
		s := early(t, func(tx *bolt.Tx) error {
			var empty []byte
			for range 3 {
				empty = list{}.append(empty)
			}
			id := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, 5), uint64(tt.at))
			if err := tx.Bucket(buckets[inMembers]).Put(id, append(list{1, 0, 0, 0}.append(nil), empty...)); err != nil {
				return err
			}
			if err := tx.Bucket(buckets[inDeaths]).Put(key32(0), append(list{5, uint64(tt.at), 0, 0, 0, tt.known}.append(nil), empty...)); err != nil {
				return err
			}
			origin, err := json.Marshal(struct {
				Seq  uint64
				Key  key
				Time time.Time
			}{1, key{5, tt.at}, day})
			if err != nil {
				return err
			}
			if err := tx.Bucket(buckets[inOrigins]).Put(originKey(&lineage.Origin{Seq: 1}), origin); err != nil {
				return err
			}
			ancestors, err := json.Marshal([]struct {
				Key  key
				PPID int32
			}{{key{5, tt.at}, 3}})
			if err != nil {
				return err
			}
			return tx.Bucket(buckets[inMeta]).Put(keyAncestors, ancestors)
		})
		got := keysIn(t, s)
		of := func(g clock.Grain) groups.Key {
			return groups.Key{PID: 5, Start: clock.At(clock.Boot(tt.at), g)}
		}
		if diff := cmp.Diff([]groups.Key{of(tt.want), of(tt.death), of(tt.want), of(tt.want)}, got); diff != "" {
			t.Errorf("at %d (-want +got):\n%s", tt.at, diff)
		}
		st := mustLoad(t, s)
		if st.Origins[0].Seq != 1 || !st.Origins[0].Time.Equal(day) || st.Ancestors[0].PPID != 3 {
			t.Errorf("the rest is lost: %+v, %+v", st.Origins[0], st.Ancestors[0])
		}
	}
}
