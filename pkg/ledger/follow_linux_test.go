// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/internal/kerneltest"
	"elsa/pkg/acct"
)

func mustFollow(t testing.TB, path string, from Position) *Follower {
	t.Helper()
	f, err := Follow(path, from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// rotator is another program that owns accounting in a file.
type rotator struct {
	*fakeKernel
	path string
}

func newRotator(t testing.TB) *rotator {
	r := &rotator{newFakeKernel(t), filepath.Join(t.TempDir(), "pacct")}
	r.create()
	r.accton()
	return r
}

func (r *rotator) do(err error) {
	r.t.Helper()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.t.Error(err)
	}
}

func (r *rotator) create() { r.do(os.WriteFile(r.path, nil, 0o600)) }
func (r *rotator) accton() { r.do(r.switchOn(r.path)) }

// shift makes room for a new "pacct.1".
func (r *rotator) shift() {
	for n := 14; n > 0; n-- {
		r.do(os.Rename(fmt.Sprintf("%s.%d", r.path, n), fmt.Sprintf("%s.%d", r.path, n+1)))
	}
}

// rename puts the file aside. The kernel goes on writing to it.
func (r *rotator) rename() {
	r.shift()
	r.do(os.Rename(r.path, r.path+".1"))
}

// copyTruncate is logrotate's other way.
func (r *rotator) copyTruncate() {
	r.shift()
	b, err := os.ReadFile(r.path)
	r.do(err)
	r.do(os.WriteFile(r.path+".1", b, 0o600))
	r.do(os.Truncate(r.path, 0))
}

func (r *rotator) pack(n int) {
	name := fmt.Sprintf("%s.%d", r.path, n)
	b, err := os.ReadFile(name)
	r.do(err)
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(b)
	w.Close()
	r.do(os.WriteFile(name+".gz", z.Bytes(), 0o600))
	r.do(os.Remove(name))
}

func TestFollow(t *testing.T) {
	k := newRotator(t)
	k.die() // before anyone follows
	f := mustFollow(t, k.path, Position{})
	var r reader
	for range 5 {
		k.die()
	}
	end, err := f.End()
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Backlog(Position{}, end); got != 5*acct.BSDSize {
		t.Errorf("backlog of %d bytes, want 5 records", got)
	}
	r.catchUp(t, f)
	if r.pos != end {
		t.Errorf("read to %+v, want %+v", r.pos, end)
	}

	// Renamed: the old file grows on until the kernel is switched.
	k.rename()
	k.die()
	r.catchUp(t, f)
	k.create()
	k.die()
	r.catchUp(t, f)
	k.accton()
	k.die()
	k.die()
	end, err = f.End()
	if err != nil {
		t.Fatal(err)
	}
	var back []acct.Record
	if err := f.ReadBackward(Position{}, end, gather(&back)); err != nil {
		t.Fatal(err)
	}
	r.catchUp(t, f)
	r.want(t, []int{2, 3, 4, 5, 6, 7, 8, 9, 10}, Skipped{Callers: 1})
	slices.Reverse(back)
	if diff := cmp.Diff(r.pids, pidsOf(back)); diff != "" {
		t.Errorf("backward (-want +got)\n%s", diff)
	}
	if err := f.Release(r.pos); err != nil || len(f.files) != 1 {
		t.Errorf("%d files open after the release, %v", len(f.files), err)
	}
	if err := f.Rotate(); err != nil {
		t.Error(err)
	}
}

// TestFollowRotations: what happens between two looks, and what is read of it.
// In each case records 1 to 4 were read, the rest is written after.
func TestFollowRotations(t *testing.T) {
	rename := func(k *rotator) {
		k.rename()
		k.create()
		k.accton()
	}
	for _, tt := range []struct {
		name string
		do   func(k *rotator)
		lost []int
		want Skipped
		// The same when the service is down meanwhile, if it differs.
		lostDown []int
		wantDown *Skipped
	}{
		{name: "renamed", do: func(k *rotator) { k.die(); rename(k); k.die() },
			want: Skipped{Callers: 1}},
		{name: "renamed, nothing since", do: func(k *rotator) { k.die(); rename(k) },
			want: Skipped{Callers: 1}},
		{name: "renamed, not switched", do: func(k *rotator) { k.die(); k.rename(); k.create(); k.die() }},
		{name: "renamed, not created", do: func(k *rotator) { k.die(); k.rename(); k.die() }},
		{name: "renamed three times", do: func(k *rotator) {
			rename(k)
			k.die()
			k.die()
			rename(k)
			k.die()
			rename(k)
			k.die()
		},
			want: Skipped{Callers: 3}},
		{name: "renamed three times, a copy lies about", do: func(k *rotator) {
			k.die()
			rename(k)
			k.die()
			rename(k)
			for n, copy := range map[string]string{".1": "-saved", ".2": ".old"} {
				b, err := os.ReadFile(k.path + n)
				k.do(err)
				k.do(os.WriteFile(k.path+copy, b, 0o600))
			}
			k.die()
		}, want: Skipped{Callers: 2}},
		{name: "renamed twice, one compressed", do: func(k *rotator) {
			k.die()
			rename(k)
			k.die()
			k.die()
			rename(k)
			k.pack(1)
			k.die()
		},
			lost: []int{6, 7}, want: Skipped{Callers: 1, Lost: 3}},
		{name: "renamed and compressed", do: func(k *rotator) { k.die(); rename(k); k.pack(1); k.die() },
			want: Skipped{Callers: 1}, lostDown: []int{5}, wantDown: &Skipped{Gaps: 1}},
		{name: "removed", do: func(k *rotator) { k.die(); k.do(os.Remove(k.path)); k.create(); k.accton(); k.die() },
			want: Skipped{Callers: 1}, lostDown: []int{5}, wantDown: &Skipped{Gaps: 1}},
		{name: "copied and truncated", do: func(k *rotator) { k.die(); k.copyTruncate(); k.die() },
			want: Skipped{Gaps: 1}},
		{name: "copied and truncated, as long again", do: func(k *rotator) {
			k.copyTruncate()
			for range 9 {
				k.die()
			}
		}, want: Skipped{Gaps: 1}},
		{name: "copied and truncated, an older copy lies about", do: func(k *rotator) {
			b, err := os.ReadFile(k.path)
			k.do(err)
			k.do(os.WriteFile(k.path+"-copy", b, 0o600))
			k.die()
			k.copyTruncate()
			k.die()
		}, want: Skipped{Gaps: 1}},
		{name: "truncated", do: func(k *rotator) { k.die(); k.do(os.Truncate(k.path, 0)); k.die() },
			lost: []int{5}, want: Skipped{Gaps: 1}},
	} {
		for _, down := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, down %v", tt.name, down), func(t *testing.T) {
				k := newRotator(t)
				f := mustFollow(t, k.path, Position{})
				var r reader
				for range 4 {
					k.die()
				}
				r.catchUp(t, f)
				lost, want := tt.lost, tt.want
				if down {
					f.Close()
					if tt.wantDown != nil {
						lost, want = tt.lostDown, *tt.wantDown
					}
				}
				tt.do(k)
				if down {
					f = mustFollow(t, k.path, r.pos)
				}
				r.catchUp(t, f)
				r.catchUp(t, f) // nothing more, and nothing again
				r.want(t, slices.DeleteFunc(slices.Clone(k.deaths), func(pid int) bool { return slices.Contains(lost, pid) }), want)
				k.die()
				r.catchUp(t, f)
				if n := len(r.pids); r.pids[n-1] != k.deaths[len(k.deaths)-1] {
					t.Errorf("the next death is not read; last %d", r.pids[n-1])
				}
			})
		}
	}
}

// What was seen and not read when the file is cut is lost, and counted.
func TestFollowLost(t *testing.T) {
	k := newRotator(t)
	f := mustFollow(t, k.path, Position{})
	var r reader
	k.die()
	r.catchUp(t, f)
	k.die()
	k.die()
	if _, err := f.End(); err != nil {
		t.Fatal(err)
	}
	k.do(os.Truncate(k.path, 0))
	k.die()
	r.catchUp(t, f)
	r.want(t, []int{1, 4}, Skipped{Gaps: 1, Lost: 2})
}

// The file is cut between End and Read.
func TestFollowCutWhileRead(t *testing.T) {
	k := newRotator(t)
	f := mustFollow(t, k.path, Position{})
	var r reader
	k.die()
	r.catchUp(t, f)
	k.die()
	end, err := f.End()
	if err != nil {
		t.Fatal(err)
	}
	k.copyTruncate()
	k.die()
	k.die()
	var sk Skipped
	r.pos, sk, err = f.Read(r.pos, end, func(recs []acct.Record) error {
		t.Errorf("read %v of a file that is another now", pidsOf(recs))
		return nil
	})
	if err != nil || sk.Gaps != 1 {
		t.Fatalf("read: %+v, %v", sk, err)
	}
	r.catchUp(t, f)
	r.want(t, k.deaths, Skipped{})
}

// TestFollowLooks is about what is seen at a look in the middle of things.
func TestFollowLooks(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(k *rotator, look, restart func())
		lost []int
		want Skipped
	}{
		{"a new file is rotated before it is used", func(k *rotator, look, restart func()) {
			k.rename()
			k.create()
			k.die()
			look()
			k.rename()
			k.create()
			k.accton()
			k.die()
			k.rename()
			k.create()
			k.accton()
			k.die()
		}, nil, Skipped{Callers: 2}},
		{"the copy ends before what was read", func(k *rotator, look, restart func()) {
			k.shift()
			b, err := os.ReadFile(k.path)
			k.do(err)
			k.do(os.WriteFile(k.path+".1", b, 0o600))
			k.die()
			look()
			k.do(os.Truncate(k.path, 0))
			k.die()
			k.die()
		}, nil, Skipped{Gaps: 1}},
		{"the same, after a file that is still open", func(k *rotator, look, restart func()) {
			k.rename()
			k.create()
			k.accton()
			k.die()
			k.shift()
			b, err := os.ReadFile(k.path)
			k.do(err)
			k.do(os.WriteFile(k.path+".1", b, 0o600))
			k.die()
			look()
			k.do(os.Truncate(k.path, 0))
			look()
			k.die()
			look()
			k.die()
		}, nil, Skipped{Callers: 1, Gaps: 1}},
		{"one compressed, and the next not used yet", func(k *rotator, look, restart func()) {
			k.rename()
			k.create()
			k.accton()
			k.die()
			k.die()
			k.rename()
			k.pack(1)
			k.create()
			look()
			look()
			k.accton()
			k.die()
		}, []int{3, 4}, Skipped{Callers: 1, Lost: 2}},
		{"stopped when the file was empty", func(k *rotator, look, restart func()) {
			k.copyTruncate()
			restart()
			k.die()
			k.copyTruncate()
			k.die()
			restart()
			k.die()
		}, nil, Skipped{Gaps: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newRotator(t)
			f := mustFollow(t, k.path, Position{})
			var r reader
			k.die()
			k.die()
			r.catchUp(t, f)
			tt.do(k, func() { r.catchUp(t, f) }, func() {
				r.catchUp(t, f)
				f.Close()
				f = mustFollow(t, k.path, r.pos)
			})
			r.catchUp(t, f)
			r.catchUp(t, f)
			r.want(t, slices.DeleteFunc(slices.Clone(k.deaths), func(pid int) bool { return slices.Contains(tt.lost, pid) }), tt.want)
		})
	}
}

// A file that was seen, and not read, is cut and longer again.
func TestFollowCutUnread(t *testing.T) {
	k := newRotator(t)
	f := mustFollow(t, k.path, Position{})
	var r reader
	k.die()
	r.catchUp(t, f)
	k.rename()
	k.create()
	k.accton()
	k.die()
	if _, err := f.End(); err != nil {
		t.Fatal(err)
	}
	k.copyTruncate()
	for range 5 {
		k.die()
	}
	r.catchUp(t, f)
	r.want(t, k.deaths, Skipped{Callers: 1, Gaps: 1})
}

// The same with a file that is rotated already.
func TestFollowCutRotated(t *testing.T) {
	k := newRotator(t)
	f := mustFollow(t, k.path, Position{})
	var r reader
	k.die()
	r.catchUp(t, f)
	k.die()
	k.rename()
	k.create()
	k.accton()
	k.die()
	if _, err := f.End(); err != nil {
		t.Fatal(err)
	}
	k.do(os.Truncate(k.path+".1", 0))
	k.die()
	r.catchUp(t, f)
	r.catchUp(t, f)
	// Lost are process 2 and the caller's line.
	r.want(t, []int{1, 3, 4}, Skipped{Gaps: 1, Lost: 2})
}

func TestFollowMissing(t *testing.T) {
	k := &rotator{newFakeKernel(t), filepath.Join(t.TempDir(), "pacct")}
	f := mustFollow(t, k.path, Position{})
	var r reader
	r.catchUp(t, f)
	k.create()
	r.catchUp(t, f)
	k.accton()
	k.die()
	k.die()
	r.catchUp(t, f)
	r.want(t, k.deaths, Skipped{})
}

func TestFollowForeignBytes(t *testing.T) {
	k := newRotator(t)
	f := mustFollow(t, k.path, Position{})
	var r reader
	k.die()
	k.write(line(100)[:30]) // a full disk
	r.catchUp(t, f)
	k.die()
	r.catchUp(t, f)
	k.write([]byte("what is this?\n"))
	k.write(oldLine())
	k.write(bigLine(200))
	k.die()
	r.catchUp(t, f)
	r.want(t, []int{1, 2, 200, 3}, Skipped{Bytes: 30 + 14 + 64})
}

// What others than root could have written is not read, nor what is no file.
func TestFollowRefuses(t *testing.T) {
	mode := func(mode os.FileMode) func(string) error {
		return func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, mode)) }
	}
	for _, tt := range []struct {
		name string
		make func(path string) error
		say  string
	}{
		{"directory", func(p string) error { return os.Mkdir(p, 0o700) }, "not a regular file"},
		{"link to a device", func(p string) error { return os.Symlink("/dev/zero", p) }, "symbolic link"},
		{"pipe", func(p string) error { return syscall.Mkfifo(p, 0o600) }, "not a regular file"},
		{"written by the group", mode(0o660), "chmod go-w"},
		{"written by all", mode(0o646), "chmod go-w"},
		{"of another user", func(p string) error { return errors.Join(mode(0o644)(p), os.Chown(p, 47001, 47001)) }, "uid 47001"},
		{"in another's directory", func(p string) error { return errors.Join(mode(0o600)(p), os.Chown(filepath.Dir(p), 47001, -1)) }, "uid 47001"},
		{"in everyone's directory", func(p string) error { return errors.Join(mode(0o600)(p), os.Chmod(filepath.Dir(p), 0o777)) }, "chmod o-w"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if strings.Contains(tt.say, "uid") {
				kerneltest.Need(t, kerneltest.Root)
			}
			path := filepath.Join(t.TempDir(), "pacct")
			if err := tt.make(path); err != nil {
				t.Fatal(err)
			}
			if f, err := Follow(path, Position{}); err == nil {
				f.Close()
				t.Error("it is followed")
			} else if !strings.Contains(err.Error(), tt.say) {
				t.Errorf("%v, want %q", err, tt.say)
			}
			if strings.Contains(tt.name, "directory") {
				return
			}
			// In its place later, it is passed over, and counted once.
			k := &rotator{newFakeKernel(t), filepath.Join(t.TempDir(), "pacct")}
			k.create()
			k.do(k.switchOn(k.path))
			f, err := Follow(k.path, Position{})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			k.die()
			k.do(os.Rename(k.path, k.path+".1"))
			k.do(tt.make(k.path))
			var r reader
			r.catchUp(t, f)
			k.die()
			r.catchUp(t, f)
			if f.Problem() == nil || r.skip.Gaps != 1 || len(r.pids) != 2 {
				t.Errorf("problem %v, %d gaps, %d lines; want a problem, one gap and two lines", f.Problem(), r.skip.Gaps, len(r.pids))
			}
		})
	}
	if _, err := Follow("/dev/null", Position{}); err == nil {
		t.Error("follows a device")
	}
}

// TestModelFollow takes a follower through any order of deaths, rotations, looks
// and restarts. By renaming, nothing is lost or doubled, and there is no gap; by
// copies that nothing comes between, neither, but each may be one.
func TestModelFollow(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 2))
			k := newRotator(t)
			f := mustFollow(t, k.path, Position{})
			var now, kept reader
			k.die()
			now.catchUp(t, f)
			kept = now
			cut, sinceKept := 0, 0
			copies := seed%2 == 1
			for range 400 {
				switch rnd.IntN(20) {
				case 0, 1:
					now.catchUp(t, f)
				case 2, 3:
					now.catchUp(t, f)
					kept, sinceKept = now, 0
					kept.pids = slices.Clone(now.pids)
					if err := f.Release(kept.pos); err != nil {
						t.Fatal(err)
					}
				case 4:
					if sinceKept > 4 { // or the oldest is deleted
						continue
					}
					sinceKept++
					if copies {
						k.copyTruncate()
						cut++
						// Content tells the copies apart, if there is any.
						k.die()
						now.catchUp(t, f)
						continue
					}
					k.rename()
					if rnd.IntN(2) == 0 {
						k.die()
						now.catchUp(t, f)
					}
					k.create()
					if rnd.IntN(2) == 0 {
						k.die()
						now.catchUp(t, f)
					}
					k.accton()
				case 5:
					f.Close()
					for range rnd.IntN(3) {
						k.die()
					}
					f = mustFollow(t, k.path, kept.pos)
					now = kept
					now.pids = slices.Clone(kept.pids)
				default:
					k.die()
				}
			}
			now.catchUp(t, f)
			if diff := cmp.Diff(k.deaths, now.pids); diff != "" {
				t.Errorf("pids (-want +got)\n%s", diff)
			}
			if now.skip.Lost != 0 || now.skip.Bytes != 0 || (now.skip.Gaps > 0) != (cut > 0) {
				t.Errorf("%+v after %d cuts", now.skip, cut)
			}
		})
	}
}

// TestFollowWhileWritten follows a file that is written and rotated meanwhile.
func TestFollowWhileWritten(t *testing.T) {
	const writes, rotations = 30_000, 12
	for _, copies := range []bool{false, true} {
		t.Run(fmt.Sprintf("copies %v", copies), func(t *testing.T) {
			k := newRotator(t)
			f := mustFollow(t, k.path, Position{})
			var mu sync.Mutex // the kernel's, around each record and each switch
			locked := func(f func()) {
				mu.Lock()
				defer mu.Unlock() // also when f fails the test
				f()
			}
			var late int // records between a copy and the cut
			done := make(chan struct{})
			pause := make(chan struct{}, 1)
			looked := make(chan struct{})
			go func() {
				defer close(done)
				defer close(pause)
				for i := range writes {
					locked(k.die)
					if i%(writes/rotations) == 0 {
						pause <- struct{}{} // let a rotation begin
					}
				}
			}()
			rotated := make(chan struct{})
			go func() {
				defer close(rotated)
				for range pause {
					if !copies {
						k.rename()
						k.create()
						locked(k.accton)
						continue
					}
					// What comes and goes between two looks is not seen.
					if fileSizes([]string{k.path})[0] == 0 {
						continue
					}
					<-looked
					<-looked
					k.shift()
					dst, err := os.Create(k.path + ".1")
					if err != nil {
						t.Error(err)
						return
					}
					src, err := os.Open(k.path)
					if err != nil {
						t.Error(err)
						return
					}
					n, err := io.Copy(dst, src)
					if err != nil {
						t.Error(err)
					}
					locked(func() {
						late += int(fileSizes([]string{k.path})[0]-n) / acct.BSDSize
						if err := os.Truncate(k.path, 0); err != nil {
							t.Error(err)
						}
					})
					src.Close()
					dst.Close()
				}
			}()
			t.Cleanup(func() {
				<-done
				<-rotated
			})
			var r reader
			for running := true; running; {
				select {
				case <-rotated:
					running = false
				case looked <- struct{}{}:
				case <-time.After(time.Millisecond):
				}
				r.catchUp(t, f)
			}
			r.catchUp(t, f)
			if !copies {
				r.skip.Callers = 0 // a file of nothing else may be passed over
				r.want(t, k.deaths, Skipped{})
				return
			}
			if !slices.IsSorted(r.pids) || len(slices.Compact(r.pids)) != len(r.pids) {
				t.Error("records are doubled or out of order")
			}
			missing := writes - len(r.pids)
			t.Logf("%d records missing, %d were cut off uncopied; %+v", missing, late, r.skip)
			if missing > late || r.skip.Gaps == 0 {
				t.Error("more are missing than were cut off, or no gap is told")
			}
		})
	}
}
