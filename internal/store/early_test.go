// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"elsa/internal/history"
	"elsa/internal/lineage"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// early is a database of schema 1, as its versions laid it out, with what f puts
// there; without the buckets named in lacks, which early versions did not make.
func early(t testing.TB, f func(*bolt.Tx) error, lacks ...string) *Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "elsa.db")
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range buckets {
			if slices.Contains(lacks, string(name)) {
				continue
			}
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		meta, err := json.Marshal(Meta{Created: day, NextGroup: 1})
		b := tx.Bucket(buckets[inMeta])
		return errors.Join(err, b.Put(keySchema, []byte{1}), b.Put(keyMeta, meta), f(tx))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path, day)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// A database of a version before there was a history gets what it lacks.
func TestOpenEarlyDatabase(t *testing.T) {
	s := early(t, func(*bolt.Tx) error { return nil }, "history", "origins")
	if err := s.Commit(func(tx *Tx) { tx.PutOrigin(lineage.Origin{}) }); err != nil {
		t.Error(err)
	}
	if err := s.Verify(); err != nil {
		t.Error(err)
	}
}

// The file in testdata was made by a version of schema 1. It is brought up to the
// present one, has the same figures, and goes on from there.
func TestUpgrade(t *testing.T) {
	data, err := os.ReadFile("testdata/schema1.db")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "elsa.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s, err := Open(path, day)
		if err != nil {
			t.Fatal(err)
		}
		st := mustLoad(t, s)
		if len(st.Groups) != 2 || len(st.Sets) != 2 || len(st.Members) != 2 || len(st.Deaths) != 2 || len(st.Origins) != 2 ||
			len(st.Ancestors) != 2 || len(st.Held) != 2 || st.Sets[1].ID != 5 || st.Sets[1].Usage[usage.User] == 0 || st.Members[1].Account.Base.CPU() == 0 {
			t.Errorf("the state has lost something: %+v", st)
		}
		var ended, user uint64
		if err := s.History(0, 1<<32-1, func(_ *history.Key, u *usage.Usage) error {
			ended, user = ended+u[usage.Ended], user+u[usage.User]
			return nil
		}); err != nil || ended != 200*201/2 || user != 200e9 {
			t.Errorf("history of %d deaths and %d ns: %v", ended, user, err)
		}
		if err := errors.Join(s.Verify(), s.Commit(func(tx *Tx) { tx.DeleteMember(groups.Key{PID: 9}); put(st)(tx) }), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if now, err := os.ReadFile(path); err != nil || bytes.Equal(now, data) {
		t.Errorf("nothing was brought up: %v", err)
	}
}

// The file in testdata was made by a version of schema 2, which had no fills, with the
// state of [full]. It is brought up to the present schema, and goes on from there.
func TestUpgradeFromSchema2(t *testing.T) {
	data, err := os.ReadFile("testdata/schema2.db")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "elsa.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, path)
	st := mustLoad(t, s)
	if len(st.Groups) != 2 || len(st.Sets) != 2 || len(st.Members) != 2 || len(st.Deaths) != 2 || len(st.Filled)+len(st.Taken) != 0 {
		t.Errorf("the state is not what was written: %+v", st)
	}
	st.Filled = []usage.Filled{{Group: 1, Others: []uint32{2}, Usage: usage.Usage{usage.Ended: 1}}}
	if err := errors.Join(s.Verify(), s.Commit(put(st)), s.Close()); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, path)
	if st := mustLoad(t, s); len(st.Filled) != 1 {
		t.Errorf("what was filled since is %+v", st.Filled)
	}
	// One whose values were changed is refused.
	at := bytes.LastIndex(data, []byte("make"))
	data[at] = 'f'
	broken := filepath.Join(t.TempDir(), "elsa.db")
	if err := os.WriteFile(broken, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(broken, day); err == nil {
		s.Close()
		t.Error("a damaged file is opened")
	}
}

// A file of schema 1 that cannot be read is refused, and stays as it is.
func TestUpgradeRefused(t *testing.T) {
	data, err := os.ReadFile("testdata/schema1.db")
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, []byte(`"BootID"`))
	if at < 0 {
		t.Fatal("no state in the file")
	}
	for at >= 0 { // also in copies that are free
		data[at] = '!'
		at = bytes.Index(data, []byte(`"BootID"`))
	}
	path := filepath.Join(t.TempDir(), "elsa.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(path, day); err == nil {
		s.Close()
		t.Error("it is opened")
	} else if said := err.Error(); !strings.Contains(said, "restore a backup") || strings.Contains(said, "\n") {
		t.Error(said)
	}
	if _, err := Open(path, day); errors.Is(err, ErrBusy) {
		t.Error("it is locked after it was refused")
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, data) {
		t.Errorf("it was changed: %v", err)
	}
}

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
	s := early(t, func(tx *bolt.Tx) error {
		for _, p := range []struct {
			bucket, key, value []byte
		}{
			{buckets[inSets], key32(5), figures.append(list{7}.append(nil))},
			{buckets[inMembers], memberKey(groups.Key{PID: 12, Start: 34}), one.append(one.append(list{1, 5, 0, 1}.append(nil)))},
			{buckets[inDeaths], key32(0), cell.append(one.append(one.append(one.append(death.append(nil)))))},
			{buckets[inDeaths], key32(1), one.append(one.append(one.append(death[:5].append(nil))))},
			{buckets[inHistory], keyOfCell(&history.Key{Hour: 490000, Command: "sh"}), figures.append(nil)},
		} {
			if err := tx.Bucket(p.bucket).Put(p.key, p.value); err != nil {
				return err
			}
		}
		return nil
	})
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
