// SPDX-License-Identifier: Apache-2.0

package store

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"elsa/internal/history"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// What a version of old wrote, number by number, gives the same figures now.
func TestEarlyFigures(t *testing.T) {
	figures := list{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}
	wantUsage := usage.Usage{
		usage.Started: 1, usage.Ended: 2, usage.User: 3, usage.System: 4, usage.Elapsed: 5, usage.MinorFaults: 6, usage.MajorFaults: 7, usage.ReadBytes: 8, usage.WriteBytes: 9,
		usage.ReadChars: 10, usage.WriteChars: 11, usage.MaxRSS: 12, usage.VoluntarySwitches: 13, usage.InvoluntarySwitches: 14, usage.ExitNonzero: 15, usage.ExitSignal: 16,
		usage.Exact: 17, usage.Sampled: 18, usage.Rounded: 19, usage.Inferred: 20,
	}
	one := list{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	wantOne := usage.Measure{
		usage.User: 1, usage.System: 2, usage.Elapsed: 3, usage.MinorFaults: 4, usage.MajorFaults: 5, usage.ReadBytes: 6, usage.WriteBytes: 7, usage.ReadChars: 8, usage.WriteChars: 9,
		usage.MaxRSS: 10, usage.VoluntarySwitches: 11, usage.InvoluntarySwitches: 12,
	}
	death := list{8, 9, 5, 4, 1, 1} // it ends with whether its start is known
	cell := list{490000, 1000, 's' << 56, 0}
	s := openTemp(t)
	if err := s.db.Update(func(tx *bolt.Tx) error {
		for _, p := range []struct {
			bucket, key, value []byte
		}{
			{bucketSets, key32(5), figures.append(list{7}.append(nil))},
			{bucketMembers, memberKey(groups.Key{PID: 12, Start: 34}), one.append(one.append(list{1, 5, 0, 1}.append(nil)))},
			{bucketDeaths, key32(0), cell.append(one.append(one.append(one.append(death.append(nil)))))},
			{bucketDeaths, key32(1), one.append(one.append(one.append(death[:5].append(nil))))},
			{bucketHistory, keyOfCell(&history.Key{Hour: 490000, Command: "sh"}), figures.append(nil)},
		} {
			if err := tx.Bucket(p.bucket).Put(p.key, p.value); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	path := s.db.Path()
	s.Close()
	s, err := Open(filepath.Clean(path), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	st := mustLoad(t, s)
	want := usage.OpenDeath{
		Key: groups.Key{PID: 8, Start: ungrained(9)}, Set: 5, Base: wantOne, Charged: wantOne, Estimate: wantOne, Reported: 4, Grade: 1,
		Lined: true, Exited: true, // as they were taken to be
		Cell: usage.Cell{Hour: 490000, Set: 5, UID: 1000, Comm: [16]byte{'s'}},
	}
	earlier := want
	earlier.Key.Start, earlier.Cell = clock.At(9, clock.Second), usage.Cell{}
	for _, c := range []struct {
		name      string
		want, got any
	}{
		{"sets", []Set{{ID: 5, Groups: []uint32{7}, Usage: wantUsage}}, st.Sets},
		{"accounts", usage.Account{Base: wantOne, Last: wantOne}, st.Members[0].Account},
		{"deaths", []usage.OpenDeath{want, earlier}, st.Deaths},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	if err := s.History(0, 1<<32-1, func(_ *history.Key, u *usage.Usage) error {
		if diff := cmp.Diff(wantUsage, *u); diff != "" {
			t.Errorf("history (-want +got):\n%s", diff)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
