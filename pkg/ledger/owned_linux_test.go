// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/acct"
)

// fakeKernel is the kernel as far as accounting goes.
type fakeKernel struct {
	t      testing.TB
	file   *os.File
	old    bool  // its records are of version 2
	deaths []int // all pids that ended with accounting on
	missed []int // and off
	next   int
	busy   bool // processes end between any two calls
}

func newFakeKernel(t testing.TB) *fakeKernel {
	k := &fakeKernel{t: t, next: 1}
	t.Cleanup(func() {
		if k.file != nil {
			k.file.Close()
		}
	})
	return k
}

func (k *fakeKernel) write(b []byte) {
	if k.old {
		b = oldLine()
	}
	if _, err := k.file.Write(b); err != nil {
		k.t.Fatal(err)
	}
}

// die ends the next process.
func (k *fakeKernel) die() {
	pid := k.next
	k.next++
	if k.file != nil {
		k.write(line(pid))
		k.deaths = append(k.deaths, pid)
	} else {
		k.missed = append(k.missed, pid)
	}
}

func (k *fakeKernel) switchOn(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	k.leave()
	k.file = f
	k.between()
	return nil
}

func (k *fakeKernel) switchOff() error {
	k.leave()
	k.between()
	return nil
}

func (k *fakeKernel) between() {
	if k.busy {
		k.die()
	}
}

func (k *fakeKernel) leave() {
	if k.file != nil {
		k.write(callerLine(k.next - 1))
		k.file.Close()
		k.file = nil
	}
}

func (k *fakeKernel) watchDeath(files []string) (v verdict, err error) {
	before := fileSizes(files)
	k.die()
	for i, size := range fileSizes(files) {
		if size > before[i] {
			v.grown = append(v.grown, files[i])
		}
	}
	v.on, v.off = k.file != nil, k.file == nil
	return v, nil
}

// reader is what a daemon keeps of a ledger.
type reader struct {
	pos  Position
	pids []int
	skip Skipped
}

// catchUp reads all there is and checks that the position follows.
func (r *reader) catchUp(t testing.TB, l Ledger) {
	t.Helper()
	end, err := l.End()
	if err != nil {
		t.Fatal(err)
	}
	pos, sk, err := l.Read(r.pos, end, func(recs []acct.Record) error {
		r.pids = append(r.pids, pidsOf(recs)...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if pos.Compare(r.pos) < 0 || pos.Compare(end) > 0 {
		t.Fatalf("read from %v to %v came to %v", r.pos, end, pos)
	}
	r.pos = pos
	r.skip.Add(sk)
}

func (r *reader) want(t testing.TB, pids []int, sk Skipped) {
	t.Helper()
	if diff := cmp.Diff(pids, r.pids); diff != "" {
		t.Errorf("pids (-want +got)\n%s", diff)
	}
	if r.skip != sk {
		t.Errorf("skipped %+v, want %+v", r.skip, sk)
	}
}

func mustOwn(t testing.TB, dir string, from Position, opt OwnOptions, k kernel) *Owned {
	t.Helper()
	o, err := own(dir, from, opt, k)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Detach() })
	return o
}

func segmentsIn(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".acct"))
	}
	return names
}

func TestOwned(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pacct")
	k := newFakeKernel(t)
	o := mustOwn(t, dir, Position{}, OwnOptions{SegmentSize: 10 * acct.BSDSize}, k)
	var r reader
	for range 25 {
		k.die()
		if err := o.Rotate(); err != nil {
			t.Fatal(err)
		}
	}
	if ok, err := o.writes(); !ok || err != nil {
		t.Errorf("writes: %v, %v", ok, err)
	}
	end, err := o.End()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := o.Backlog(Position{}, end), int64(len(k.deaths)+2)*acct.BSDSize; got != want {
		t.Errorf("backlog of %d bytes, want %d", got, want)
	}
	var back []acct.Record
	if err := o.ReadBackward(Position{}, end, gather(&back)); err != nil {
		t.Fatal(err)
	}
	r.catchUp(t, o)
	r.want(t, k.deaths, Skipped{Callers: 2})
	if r.pos != end {
		t.Errorf("read to %+v, want %+v", r.pos, end)
	}
	slices.Reverse(back)
	if diff := cmp.Diff(k.deaths, pidsOf(back)); diff != "" {
		t.Errorf("backward (-want +got)\n%s", diff)
	}
	if got := segmentsIn(t, dir); !slices.Equal(got, []string{"0000000001", "0000000002", "0000000003"}) {
		t.Errorf("segments %v", got)
	}
	if err := o.Release(r.pos); err != nil {
		t.Fatal(err)
	}
	if got := segmentsIn(t, dir); !slices.Equal(got, []string{"0000000003"}) {
		t.Errorf("segments after the release: %v", got)
	}
	fi, err := os.Stat(o.Path())
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("current segment: %v, %v", fi.Mode(), err)
	}
	if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v", fi.Mode(), err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if k.file != nil {
		t.Error("accounting is on after Close")
	}

	// What ended while the service was down has no record: a gap.
	k.die()
	o = mustOwn(t, dir, r.pos, OwnOptions{}, k)
	r.skip = Skipped{}
	r.catchUp(t, o)
	r.want(t, k.deaths, Skipped{Callers: 1, Gaps: 1})
	if err := o.Release(r.pos); err != nil {
		t.Fatal(err)
	}
	// All segments may go; their numbers are not used again.
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	k.deaths = k.deaths[:len(k.deaths)-1] // by which Close looked whose accounting it is
	os.Remove(o.Path())
	o = mustOwn(t, dir, r.pos, OwnOptions{}, k)
	if got := o.last(); got <= r.pos.Segment {
		t.Errorf("segment %d after %d", got, r.pos.Segment)
	}
	r.skip = Skipped{}
	r.catchUp(t, o)
	r.want(t, k.deaths, Skipped{Gaps: 1})
}

// TestModelOwned runs a ledger through any order of deaths, rotations, commits
// and kills of its owner. What a commit kept, together with what comes after,
// is every death once, with no gap.
func TestModelOwned(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			dir := filepath.Join(t.TempDir(), "pacct")
			k := newFakeKernel(t)
			k.busy = true
			opt := OwnOptions{SegmentSize: int64(1+rnd.IntN(20)) * acct.BSDSize}
			o := mustOwn(t, dir, Position{}, opt, k)
			var now, kept reader
			restarts := 0
			for range 600 {
				switch rnd.IntN(12) {
				case 0:
					now.catchUp(t, o)
				case 1, 2: // as the daemon does it
					now.catchUp(t, o)
					kept = now
					kept.pids = slices.Clone(now.pids)
					if err := o.Rotate(); err != nil {
						t.Fatal(err)
					}
					if rnd.IntN(4) > 0 {
						if err := o.Release(kept.pos); err != nil {
							t.Fatal(err)
						}
					}
				case 3:
					if rnd.IntN(4) == 0 {
						if rnd.IntN(2) == 0 { // killed in the midst of a rotation
							file, err := o.dir.create(o.last() + 1)
							if err != nil {
								t.Fatal(err)
							}
							file.Close()
						}
						o.Detach() // the kernel goes on writing
						for range rnd.IntN(30) {
							k.die()
						}
						o = mustOwn(t, dir, kept.pos, opt, k)
						now = kept
						now.pids = slices.Clone(kept.pids)
						restarts++
					}
				default:
					k.die()
				}
			}
			now.catchUp(t, o)
			now.skip.Callers = 0
			now.want(t, k.deaths, Skipped{})
			if len(k.missed) != 1 { // by which the first Own saw that it was off
				t.Errorf("processes %v ended with accounting off", k.missed)
			}
			if restarts == 0 || o.last() < 3 {
				t.Errorf("%d restarts, %d segments: not much of a test", restarts, o.last())
			}
		})
	}
}

func TestOwnedConflict(t *testing.T) {
	saved := usualFiles
	t.Cleanup(func() { usualFiles = saved })
	foreign := filepath.Join(t.TempDir(), "their pacct")
	usualFiles = []string{foreign}
	if err := os.WriteFile(foreign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "pacct")
	k := newFakeKernel(t)
	if err := k.switchOn(foreign); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		usual []string
		want  string
	}{
		{[]string{foreign}, foreign}, // a known file
		{nil, ""},                    // any other
	} {
		usualFiles = tt.usual
		_, err := own(dir, Position{}, OwnOptions{}, k)
		var conflict *ConflictError
		if !errors.As(err, &conflict) || conflict.Path != tt.want {
			t.Fatalf("own over %q: %v", tt.want, err)
		}
		for _, word := range []string{tt.want, "--acct follow:", "stop"} {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%q does not say %q", err, word)
			}
		}
		if k.file == nil || k.file.Name() != foreign || len(segmentsIn(t, dir)) != 0 {
			t.Fatal("a refused take-over changed something")
		}
	}

	// Taken while the service runs: Close leaves it to the new owner.
	k.switchOff()
	o := mustOwn(t, dir, Position{}, OwnOptions{}, k)
	if err := k.switchOn(foreign); err != nil {
		t.Fatal(err)
	}
	if ok, err := o.writes(); ok || err != nil {
		t.Errorf("writes with accounting elsewhere: %v, %v", ok, err)
	}
	var conflict *ConflictError
	if err := o.Reclaim(); !errors.As(err, &conflict) {
		t.Errorf("reclaim from another program: %v", err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if k.file == nil || k.file.Name() != foreign {
		t.Error("Close switched another program's accounting off")
	}
}

func TestOwnedReclaim(t *testing.T) {
	k := newFakeKernel(t)
	o := mustOwn(t, filepath.Join(t.TempDir(), "pacct"), Position{}, OwnOptions{}, k)
	k.die()
	if err := o.Reclaim(); err != nil || o.last() != 1 {
		t.Fatalf("reclaim what is ours: %v, segment %d", err, o.last())
	}
	k.switchOff() // someone's accton off
	k.die()
	if ok, err := o.writes(); ok || err != nil {
		t.Errorf("writes with accounting off: %v, %v", ok, err)
	}
	if err := o.Reclaim(); err != nil {
		t.Fatal(err)
	}
	k.die()
	var r reader
	r.catchUp(t, o)
	r.want(t, k.deaths, Skipped{Callers: 1, Gaps: 1})
}

func TestOwnedBound(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pacct")
	k := newFakeKernel(t)
	if _, err := own(dir, Position{}, OwnOptions{SegmentSize: 2, TotalSize: 3}, k); err == nil {
		t.Error("a bound below two segments is taken")
	}
	o := mustOwn(t, dir, Position{}, OwnOptions{SegmentSize: 10 * acct.BSDSize, TotalSize: 40 * acct.BSDSize}, k)
	var r reader
	for i := 0; ; i++ {
		k.die()
		err := o.Rotate()
		if errors.Is(err, ErrBacklogFull) {
			break
		}
		if err != nil || i > 100 {
			t.Fatalf("%d deaths without a bound: %v", i, err)
		}
	}
	if k.file != nil {
		t.Error("accounting is on with a full backlog")
	}
	k.die()
	r.catchUp(t, o)
	if err := o.Rotate(); !errors.Is(err, ErrBacklogFull) {
		t.Errorf("rotate with nothing released: %v", err)
	}
	if err := o.Release(r.pos); err != nil {
		t.Fatal(err)
	}
	if err := o.Rotate(); err != nil {
		t.Errorf("rotate with all released: %v", err)
	}
	k.die()
	r.catchUp(t, o)

	// What is released does not count, also in the current segment.
	for range 100 {
		k.die()
	}
	r.catchUp(t, o)
	if err := o.Release(r.pos); err != nil {
		t.Fatal(err)
	}
	if err := o.Rotate(); err != nil {
		t.Errorf("rotate a long segment that is released: %v", err)
	}
	r.catchUp(t, o)
	r.skip.Callers = 0
	r.want(t, k.deaths, Skipped{Gaps: 1})
}

// TestOwnedDamage: what happened to segments behind the ledger's back shows.
func TestOwnedDamage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pacct")
	opt := OwnOptions{SegmentSize: 4 * acct.BSDSize}
	for _, tt := range []struct {
		name   string
		damage func(seg func(int) string) error
		lost   []int // pids
		want   Skipped
	}{
		{"nothing", func(func(int) string) error { return nil }, nil, Skipped{Callers: 3}},
		{"a segment is gone", func(seg func(int) string) error { return os.Remove(seg(2)) }, []int{6, 7, 8, 9}, Skipped{Callers: 2, Gaps: 1}},
		{"the segment read last is gone", func(seg func(int) string) error { return os.Remove(seg(1)) }, []int{5}, Skipped{Callers: 2, Gaps: 1}},
		{"it lost its end", func(seg func(int) string) error { return os.Truncate(seg(1), 2*acct.BSDSize) }, []int{5}, Skipped{Callers: 2, Gaps: 1}},
		{"a torn record at its end", func(seg func(int) string) error { return os.Truncate(seg(1), 3*acct.BSDSize+5) }, []int{5}, Skipped{Callers: 2, Bytes: 5}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			os.RemoveAll(dir)
			k := newFakeKernel(t)
			o := mustOwn(t, dir, Position{}, opt, k)
			var r reader
			for len(k.deaths) < 3 {
				k.die()
			}
			r.catchUp(t, o)
			for len(k.deaths) < 14 {
				k.die()
				if err := o.Rotate(); err != nil {
					t.Fatal(err)
				}
			}
			if err := tt.damage(func(n int) string { return o.dir.path(uint64(n)) }); err != nil {
				t.Fatal(err)
			}
			r.catchUp(t, o)
			want := slices.DeleteFunc(slices.Clone(k.deaths), func(pid int) bool { return slices.Contains(tt.lost, pid) })
			r.want(t, want, tt.want)
		})
	}
}

func TestOwnRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(dir string) error
		want string
	}{
		{"no parent", func(dir string) error { return os.Remove(filepath.Dir(dir)) }, "no such file"},
		{"a link to a directory", func(dir string) error { return os.Symlink(os.TempDir(), dir) }, "not a directory"},
		{"a file", func(dir string) error { return os.WriteFile(dir, nil, 0o600) }, "not a directory"},
		{"written by others", func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777))
		}, "chmod"},
		{"a link as a segment", func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o700), os.Symlink("/etc/passwd", filepath.Join(dir, "0000000001.acct")))
		}, "not a regular file"},
		{"a segment written by others", func(dir string) error {
			name := filepath.Join(dir, "0000000007.acct")
			return errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(name, nil, 0o600), os.Chmod(name, 0o666))
		}, "chmod"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state", "pacct")
			if err := os.Mkdir(filepath.Dir(dir), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := tt.make(dir); err != nil {
				t.Fatal(err)
			}
			k := newFakeKernel(t)
			if _, err := own(dir, Position{}, OwnOptions{}, k); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want an error with %q", err, tt.want)
			}
			if k.file != nil {
				t.Error("accounting is on")
			}
		})
	}
	t.Run("records without a pid", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "pacct")
		k := newFakeKernel(t)
		k.old = true
		if _, err := own(dir, Position{}, OwnOptions{}, k); err == nil || !strings.Contains(err.Error(), "CONFIG_BSD_PROCESS_ACCT_V3") {
			t.Error(err)
		}
		if k.file != nil || len(segmentsIn(t, dir)) != 0 {
			t.Error("accounting is on, or its file is left")
		}
	})
}
