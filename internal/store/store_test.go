// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	bolt "go.etcd.io/bbolt"

	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

var day = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// tryOpen opens a database and checks it page by page when t ends.
func tryOpen(t *testing.T, path string) (*Store, error) {
	t.Helper()
	s, err := Open(path, day)
	if err == nil {
		t.Cleanup(func() {
			if s.db.Path() == "" {
				return // the test closed it
			}
			if err := s.Verify(); err != nil {
				t.Errorf("verify: %v", err)
			}
			s.Close()
		})
	}
	return s, err
}

func mustOpen(t *testing.T, path string) *Store {
	t.Helper()
	s, err := tryOpen(t, path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustLoad(t *testing.T, s *Store) *State {
	t.Helper()
	st, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	return st
}

var ignoreStored = cmpopts.IgnoreUnexported(groups.Life{})

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "elsa.db")
	s := mustOpen(t, path)
	if got := mustLoad(t, s); !got.Meta.Created.Equal(day) || got.Meta.NextGroup != 1 || len(got.Groups) != 0 {
		t.Errorf("a new database is not empty: %+v", got)
	}
	if err := s.Commit(put(full())); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(func(tx *Tx) { tx.Held(nil) }); err != nil || mustLoad(t, s).Held != nil {
		t.Errorf("records are held although they were let go: %v", err)
	}
	if fi, _ := os.Stat(path); fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", fi.Mode())
	}
}

func TestDelete(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "elsa.db"))
	st := full()
	st.Deaths = append(st.Deaths, st.Deaths[0])
	if err := s.Commit(put(st)); err != nil {
		t.Fatal(err)
	}
	err := s.Commit(func(tx *Tx) {
		for i := range st.Groups {
			tx.DeleteGroup(st.Groups[i].ID)
		}
		tx.PutSet(5, nil, &usage.Usage{}) // retired
		for i := range st.Members {
			tx.DeleteMember(st.Members[i].Life.Key())
		}
		tx.PutDeath(st.Deaths[0]) // the others are settled
	})
	if err != nil {
		t.Fatal(err)
	}
	got := mustLoad(t, s)
	if len(got.Groups) != 0 || len(got.Sets) != 1 || len(got.Members) != 0 || len(got.Deaths) != 1 {
		t.Errorf("groups %v, sets %v, members %v, deaths %v: want only the ungrouped set and one death",
			got.Groups, got.Sets, got.Members, got.Deaths)
	}
}

// Clear empties the database wherever in a transaction it comes: of what was
// stored, and of what the transaction put before.
func TestClear(t *testing.T) {
	many, want := full(), full()
	for i := range 3000 {
		m := many.Members[0]
		m.Life.PID = int32(i + 100)
		many.Members = append(many.Members, m)
	}
	putMember := func(tx *Tx) { m := many.Members[100]; m.Life.PID = 5; tx.PutMember(m.Life, m.Account) }
	for name, before := range map[string]func(*Tx){
		"first":            func(*Tx) {},
		"after one put":    putMember,
		"after a deletion": func(tx *Tx) { tx.DeleteMember(many.Members[700].Life.Key()) },
		"after another":    func(tx *Tx) { putMember(tx); tx.Clear(); putMember(tx) },
	} {
		t.Run(name, func(t *testing.T) {
			s := mustOpen(t, filepath.Join(t.TempDir(), "elsa.db"))
			if err := s.Commit(put(many)); err != nil {
				t.Fatal(err)
			}
			if err := s.Commit(func(tx *Tx) { before(tx); tx.Clear(); put(want)(tx) }); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, mustLoad(t, s), ignoreStored); diff != "" {
				t.Errorf("state after clearing (-want +got):\n%.2000s", diff)
			}
		})
	}
}

// What an older version wrote has fewer values; what a newer one will write has
// more. Both are read.
func TestListsGrow(t *testing.T) {
	short := usageList(&usage.Usage{usage.Started: 1, usage.Ended: 2})[:2].append(nil)
	long := append(usageList(&usage.Usage{usage.Started: 1, usage.Ended: 2}), 99, 98).append(nil)
	for name, b := range map[string][]byte{"short": short, "long": long} {
		l, rest, err := readList(append(b, 0xee))
		if err != nil || len(rest) != 1 {
			t.Fatalf("%s: %v, %d bytes left", name, err, len(rest))
		}
		if diff := cmp.Diff(usage.Usage{usage.Started: 1, usage.Ended: 2}, l.usage()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestCommitRollsBack(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "elsa.db"))
	st := full()
	if err := s.Commit(put(st)); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err := s.Commit(func(tx *Tx) {
		tx.Clear()
		tx.Meta(Meta{})
		tx.last = broken
	})
	if !errors.Is(err, broken) {
		t.Fatalf("commit: %v, want %v", err, broken)
	}
	if diff := cmp.Diff(st, mustLoad(t, s), ignoreStored); diff != "" {
		t.Errorf("state after a failed commit (-want +got):\n%s", diff)
	}
}

func TestOpenRefuses(t *testing.T) {
	newer := func(t *testing.T, path string) {
		s := mustOpen(t, path)
		err := s.db.Update(func(tx *bolt.Tx) error {
			return tx.Bucket(buckets[inMeta]).Put(keySchema, []byte{schema + 1})
		})
		if err := errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	foreign := func(t *testing.T, path string) {
		db, err := bolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		db.Close()
	}
	text := func(t *testing.T, path string) {
		if err := os.WriteFile(path, bytes.Repeat([]byte("not a database\n"), 4096), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	damaged := func(t *testing.T, path string) {
		mustOpen(t, path).Close()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		copy(b[0:], make([]byte, 2*os.Getpagesize())) // both meta pages
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name string
		make func(*testing.T, string)
		is   error
	}{
		{"newer schema", newer, ErrNewer},
		{"another program's bbolt file", foreign, nil},
		{"text file", text, nil},
		{"damaged", damaged, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "elsa.db")
			tt.make(t, path)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Open(path, day)
			if err == nil {
				s.Close()
				t.Fatal("opened")
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error %v, want %v", err, tt.is)
			}
			after, _ := os.ReadFile(path)
			if !bytes.Equal(before, after) {
				t.Error("the refused file was changed")
			}
		})
	}
}

func TestOpenBusy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "elsa.db")
	mustOpen(t, path)
	if _, err := Open(path, day); !errors.Is(err, ErrBusy) {
		t.Errorf("second open: %v, want %v", err, ErrBusy)
	}
}

// A crash during creation leaves the unfinished file under its other name.
func TestOpenAfterCrashDuringCreation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "elsa.db")
	if err := os.WriteFile(path+".new", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, path)
}

func TestBackup(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, filepath.Join(dir, "elsa.db"))
	want := full()
	if err := s.Commit(put(want)); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := s.Backup(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "copy.db")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, mustLoad(t, mustOpen(t, path)), ignoreStored); diff != "" {
		t.Errorf("copy (-want +got):\n%s", diff)
	}
}

func FuzzReadList(f *testing.F) {
	f.Add(usageList(&usage.Usage{usage.Started: 1, usage.User: 1 << 40}).append(nil))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		l, rest, err := readList(b)
		if err != nil {
			return
		}
		again, left, err := readList(l.append(nil))
		if err != nil || len(left) != 0 || !cmp.Equal(l, again, cmpopts.EquateEmpty()) {
			t.Errorf("list %v of %x (rest %x) reads back as %v, %v", l, b, rest, again, err)
		}
	})
}
