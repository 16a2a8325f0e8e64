// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"elsa/internal/history"
	"elsa/internal/kerneltest"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// grown is a database that many transactions have changed, with pages of all kinds:
// branches, long values, free ones.
func grown(t testing.TB) (path string, data []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "elsa.db")
	s, err := Open(path, day)
	if err != nil {
		t.Fatal(err)
	}
	st := full()
	for turn := range uint32(12) {
		if err := s.Commit(func(tx *Tx) {
			if turn == 7 {
				tx.Clear()
			}
			put(st)(tx)
			for i := range uint32(300) {
				tx.PutGroup(groups.Group{ID: i + 100, Name: fmt.Sprint("group ", i), Labels: map[string]string{"turn": fmt.Sprint(turn)}})
				tx.PutSet(groups.SetID(i+100), []uint32{i + 100}, &usage.Usage{usage.Ended: uint64(turn), usage.User: uint64(i) << 20})
				tx.AddCell(&history.Key{Hour: 490000 + turn, UID: i, Command: "make"}, &usage.Usage{usage.Ended: 1})
				m := st.Members[0]
				m.Life.PID = int32(1000*turn + i)
				tx.PutMember(m.Life, m.Account)
				if i%2 == 0 {
					m.Life.PID -= 1000
					tx.DeleteMember(m.Life.Key())
				}
			}
			tx.PutGroup(groups.Group{ID: 9999, Name: strings.Repeat("long ", 3000)}) // pages that follow as one
			tx.DropHistory(490000+turn-4, 200)
			tx.AddUp(490000+turn-3, 490000+turn, 10)
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if data, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return path, data
}

// mutate damages a file in one of the ways that disks and people do.
func mutate(r *rand.Rand, data []byte) (kind string, damaged []byte) {
	damaged = slices.Clone(data)
	size := os.Getpagesize()
	page := func() []byte { return damaged[r.IntN(len(data)/size)*size:][:size] }
	switch r.IntN(8) {
	case 0, 1, 2:
		// Most of a page is empty: the beginning is hit as often as all of it.
		kind = "a bit"
		b := page()[:[]int{16, 80, size, size}[r.IntN(4)]]
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
	case 3:
		kind = "bytes"
		b := page()
		for range 1 + r.IntN(64) {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
	case 4:
		kind = "cut"
		damaged = damaged[:r.IntN(len(damaged))]
		if r.IntN(2) == 0 {
			damaged = damaged[:len(damaged)/size*size]
		}
	case 5:
		kind = "a page of zeros"
		clear(page())
	case 6:
		kind = "a page twice"
		copy(page(), page())
	case 7:
		kind = "pages swapped"
		a, b := page(), page()
		c := slices.Clone(a)
		copy(a, b)
		copy(b, c)
	}
	return kind, damaged
}

// figures are all that a database says, in one text; an error where it does not.
func figures(path string) (text string, err error) {
	s, err := Open(path, day)
	if err != nil {
		return "", err
	}
	defer s.Close()
	st, err := s.Load()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := json.NewEncoder(&b).Encode(st); err != nil {
		return "", err
	}
	if err := s.History(0, 1<<32-1, func(k *history.Key, u *usage.Usage) error {
		fmt.Fprint(&b, *k, *u)
		return nil
	}); err != nil {
		return "", err
	}
	if err := s.Verify(); err != nil {
		return "", fmt.Errorf("opened, and then: %w", err)
	}
	return b.String(), nil
}

// refusal makes sure that an error is one line that names the mend.
func refusal(t testing.TB, err error) {
	t.Helper()
	if said := err.Error(); strings.Contains(said, "\n") || strings.Contains(said, "opened, and then") ||
		!strings.Contains(said, "restore a backup") && !strings.Contains(said, "install that version") {
		t.Errorf("it says %q", said)
	}
}

// A damaged database has the figures that it was written with, or is refused, and
// stays as it is then. That it opens also means that it can be committed to.
func TestDamage(t *testing.T) {
	_, data := grown(t)
	tries := 150
	if kerneltest.Soak() {
		tries = 10_000
	}
	path := filepath.Join(t.TempDir(), "elsa.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	want, err := figures(path)
	if err != nil {
		t.Fatal(err)
	}
	opened, refused := map[string]int{}, map[string]int{}
	// What is in the file differs, and so what hits it: more is tried until each kind did some harm.
	few := func() bool {
		return slices.ContainsFunc(slices.Collect(maps.Values(refused)), func(n int) bool { return n < 3 })
	}
	for seed := uint64(0); seed < uint64(tries) || seed < 4*uint64(tries) && few(); seed++ {
		kind, damaged := mutate(rand.New(rand.NewPCG(seed, 0)), data)
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := figures(path)
		if err == nil {
			if opened[kind]++; got != want {
				t.Errorf("seed %d, %s: the figures are wrong", seed, kind)
			}
			if seed%8 != 0 {
				continue // it takes the disk's time
			}
			s, err := Open(path, day)
			for i := uint32(0); err == nil && i < 3; i++ {
				err = s.Commit(func(tx *Tx) {
					for j := range uint32(50) {
						tx.AddCell(&history.Key{Hour: 500000 + i, UID: j}, &usage.Usage{usage.Ended: 1})
					}
				})
			}
			if err == nil {
				err = s.Close()
			}
			if _, err2 := figures(path); err != nil || err2 != nil {
				t.Errorf("seed %d, %s: after commits: %v, %v", seed, kind, err, err2)
			}
			continue
		}
		refused[kind]++
		refusal(t, err)
		if after, _ := os.ReadFile(path); !bytes.Equal(after, damaged) {
			t.Errorf("seed %d, %s: the file was changed", seed, kind)
		}
		if t.Failed() {
			t.Fatalf("seed %d, %s: %v", seed, kind, err)
		}
	}
	for kind, n := range refused {
		if n < 3 {
			t.Errorf("%s: %d refused: that proves nothing", kind, n)
		}
	}
	kerneltest.Row(t, "The database damaged: bits, bytes, cuts, pages zeroed, doubled, swapped", tries, 0, 0, 0,
		fmt.Sprintf("opened with the right figures %d times (free or unused bytes), else refused in one line", sum(opened)))
	t.Logf("opened %v, refused %v", opened, refused)
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// FuzzDatabase opens whatever bytes there are: nothing panics, hangs or takes memory
// that the file does not have, and what opens can be read and committed to.
func FuzzDatabase(f *testing.F) {
	_, data := grown(f)
	small := filepath.Join(f.TempDir(), "small.db")
	if s, err := Open(small, day); err != nil {
		f.Fatal(err)
	} else if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	empty, err := os.ReadFile(small)
	if err != nil {
		f.Fatal(err)
	}
	for _, whole := range [][]byte{empty, data} {
		f.Add(len(whole), uint64(0), 0, []byte{})
		f.Add(len(whole), uint64(1), 3, []byte{0xff, 0xff})
	}
	path := filepath.Join(f.TempDir(), "elsa.db")
	f.Fuzz(func(t *testing.T, size int, seed uint64, at int, bytes []byte) {
		base := data
		if size%2 == 0 {
			base = empty
		}
		_, damaged := mutate(rand.New(rand.NewPCG(seed, 1)), base)
		if len(damaged) > 0 && at >= 0 {
			copy(damaged[at%len(damaged):], bytes)
		}
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := figures(path); err != nil {
			refusal(t, err)
		}
	})
}

// What breaks while the database is open ends the read or the transaction with an
// error, and the service can still be told to close.
func TestDamageWhileOpen(t *testing.T) {
	for name, spoil := range map[string]func(path string, size int64) error{
		"cut": func(path string, size int64) error { return os.Truncate(path, 2*int64(os.Getpagesize())) },
		"zeros": func(path string, size int64) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt(make([]byte, size-2*int64(os.Getpagesize())), 2*int64(os.Getpagesize()))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, data := grown(t)
			s, err := Open(path, day)
			if err != nil {
				t.Fatal(err)
			}
			if err := spoil(path, int64(len(data))); err != nil {
				t.Fatal(err)
			}
			if err := s.History(0, 1<<32-1, func(*history.Key, *usage.Usage) error { return nil }); err == nil {
				t.Error("the history is read")
			}
			for range 2 {
				if err := s.Commit(put(full())); err == nil {
					t.Error("a transaction is made")
				} else if !strings.Contains(err.Error(), "restore a backup") {
					t.Error(err)
				}
			}
			s.Close()
			if _, err := Open(path, day); errors.Is(err, ErrBusy) {
				t.Error("it is locked after Close")
			}
		})
	}
}
