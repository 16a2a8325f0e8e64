// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hold makes looks at a process that do not end before the returned function is
// called, and returns how many were begun.
func hold(t *testing.T, b *Bounded, pids ...int32) (begun int, end func()) {
	t.Helper()
	gate := make(chan struct{})
	for _, pid := range pids {
		if err := b.Look(pid, func() { <-gate }); Coming(err) {
			begun++
		}
	}
	return begun, sync.OnceFunc(func() { close(gate) })
}

// Looks that do not end are bounded for each user, and those at root's processes by
// what all others leave; one that ended makes room.
func TestBoundedLimits(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make directories of others")
	}
	fs := FS(t.TempDir())
	users := func(n int, uid, first int) (pids []int32) {
		for i := range n {
			if err := os.Mkdir(fs.path(int32(first+i), ""), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(fs.path(int32(first+i), ""), uid, uid); err != nil {
				t.Fatal(err)
			}
			pids = append(pids, int32(first+i))
		}
		return pids
	}
	b := NewBounded(fs).Impatient()
	n, end1 := hold(t, b, users(100, 1000, 1000)...)
	defer end1()
	if n != maxStuckUser {
		t.Errorf("%d looks at one user's processes are under way, want %d", n, maxStuckUser)
	}
	total := n
	for uid := 1001; uid < 1030; uid++ {
		n, end := hold(t, b, users(maxStuckUser, uid, uid*1000)...)
		defer end()
		total += n
	}
	if total != maxStuckAll {
		t.Errorf("%d looks at users' processes are under way, want %d", total, maxStuckAll)
	}
	n, end0 := hold(t, b, users(100, 0, 10)...)
	defer end0()
	if n != maxStuck-maxStuckAll {
		t.Errorf("%d looks at root's processes are under way, want %d", n, maxStuck-maxStuckAll)
	}
	if b.Late() != maxStuck || b.Refused() == 0 {
		t.Errorf("counted %d late, %d refused; want %d, some", b.Late(), b.Refused(), maxStuck)
	}
	end1()
	for seen := 0; seen < maxStuckUser; {
		<-b.Answered()
		seen += len(b.TakeAnswered())
	}
	if n, end := hold(t, b, 1090); n != 1 {
		t.Error("no room after looks have ended")
	} else {
		end()
	}
}

// A goroutine that nothing may hold up does not wait for long, however many looks do
// not end: a twentieth of the time and a little.
func TestBoundedPatience(t *testing.T) {
	p := patience{each: 5 * time.Millisecond, burst: 20 * time.Millisecond, share: 0.05}
	waited := time.Duration(0)
	for range 1000 {
		d := p.now()
		p.spend(d)
		waited += d
	}
	if waited > 25*time.Millisecond {
		t.Errorf("waited %v for 1000 looks at once", waited)
	}
}

// A look at what is gone, or at a thread, says so as FS does.
func TestBoundedGone(t *testing.T) {
	b := NewBounded(Default)
	hasty := NewBounded(Default)
	hasty.patience, hasty.least = &patience{}, 0
	for who, b := range map[string]*Bounded{"one who waits": b, "one who waits for nothing": hasty} {
		if _, err := b.Process(1<<22 + 1); !errors.Is(err, os.ErrNotExist) || errors.Is(err, ErrBusy) {
			t.Errorf("%s, of a process that is not: %v", who, err)
		}
	}
	var s Sample
	self, err := b.Process(int32(unix.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Sample(self.PID, self.Start+1<<40, &s, true); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a sample of another life: %v", err)
	}
	all, err := b.Snapshot(make([]Process, 0, 8))
	if err != nil || len(all) == 0 {
		t.Errorf("a snapshot of %d processes: %v", len(all), err)
	}
}

// When patience is at its end, who has made others wait is not waited for any more,
// and everybody else is.
func TestBoundedSuspects(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make directories of others")
	}
	fs := FS(t.TempDir())
	for pid, uid := range map[int32]int{1: 1000, 2: 1000, 3: 1001} {
		if err := os.Mkdir(fs.path(pid, ""), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(fs.path(pid, ""), uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	b := NewBounded(fs).Impatient()
	_, end := hold(t, b, 1)
	defer end()
	b.patience.spend(time.Hour)
	if d := b.wait(2); d != 0 {
		t.Errorf("another process of the same user is waited for: %v", d)
	}
	if a, z := b.waitInSnapshot(2), b.waitInSnapshot(3); a != snapshotSuspect || z != snapshotWait {
		t.Errorf("in a snapshot they are waited for %v and %v, want %v and %v", a, z, snapshotSuspect, snapshotWait)
	}
	if d := b.wait(3); d != b.least {
		t.Errorf("another user's process is waited for %v, want %v", d, b.least)
	}
}
