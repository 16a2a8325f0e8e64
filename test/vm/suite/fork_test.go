// SPDX-License-Identifier: Apache-2.0

//go:build vm

package suite

import (
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
)

// A message for each child, in order, that names it and its forker. parse
// checks every byte of it.
func TestForkMessage(t *testing.T) {
	for name, flags := range map[string]uint64{"fork": 0, "vfork": vfork} {
		t.Run(name, func(t *testing.T) {
			l := listen(t, 4<<20)
			forker, children := storm{count: 100, flags: flags}.run(t)
			var want, got []int
			for _, c := range children {
				want = append(want, c.pid)
			}
			for _, ev := range l.drain() {
				if ev.forker == forker {
					got = append(got, ev.child)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("forks of %d: got %d, want %d", forker, got, want)
			}
		})
	}
}

// A thread that forks is named by its own id, and a new thread is a message
// like any other.
func TestForkThreads(t *testing.T) {
	l := listen(t, 4<<20)
	const n = 16
	var (
		mu    sync.Mutex
		tids  []int
		forks = make(map[int]int) // child: forking thread
		wg    sync.WaitGroup
		all   = make(chan struct{})
		ready sync.WaitGroup
	)
	ready.Add(n)
	for range n {
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready.Done()
			<-all // all n at once, so that each has a thread
			pid, err := kerneltest.Fork()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			tids = append(tids, unix.Gettid())
			forks[pid] = unix.Gettid()
		})
	}
	ready.Wait()
	close(all)
	wg.Wait()
	slices.Sort(tids)
	if tids = slices.Compact(tids); len(tids) != n {
		t.Fatalf("%d threads, want %d", len(tids), n)
	}
	created := 0
	for _, ev := range l.drain() {
		if want, ok := forks[ev.child]; ok {
			if ev.forker != want {
				t.Errorf("child %d forked by %d, want thread %d", ev.child, ev.forker, want)
			}
			delete(forks, ev.child)
		}
		if slices.Contains(tids, ev.child) {
			created++
		}
	}
	if len(forks) > 0 {
		t.Errorf("no message for %v", forks)
	}
	// Threads that were there before the test can be among them.
	if created < n/2 {
		t.Errorf("messages for %d new threads of %d", created, n)
	}
}

// 20,000 forks on both CPUs: one listener that keeps up and one that reads at
// the end get the same messages, all of them, numbered without a gap.
func TestForkTwoListeners(t *testing.T) {
	const each, storms = 10000, 2
	live, late := listen(t, 64<<20), listen(t, 64<<20)
	never, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_CONNECTOR)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(never)
	if err := unix.Bind(never, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}

	forkers := make(map[int][]int) // storm: its children
	var waits []func()
	for range storms {
		pid, wait := storm{count: each}.start(t)
		waits = append(waits, func() {
			for _, c := range wait() {
				forkers[pid] = append(forkers[pid], c.pid)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, wait := range waits {
			wait()
		}
	}()
	var first []event
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
			unix.Poll([]unix.PollFd{{Fd: int32(live.fd), Events: unix.POLLIN}}, 100)
		}
		first = append(first, live.drain()...)
	}
	second := late.drain()

	if n := min(len(first), len(second)); n == 0 || !slices.Equal(first[:n], second[:n]) {
		t.Errorf("the listeners saw different messages: %d and %d", len(first), len(second))
	}
	for i, events := range [][]event{first, second} {
		name := []string{"live", "late"}[i]
		missing := lost(t, events)
		if missing != 0 {
			t.Errorf("%s: %d numbers missing", name, missing)
		}
		got := make(map[int][]int)
		for _, ev := range events {
			if forkers[ev.forker] != nil {
				got[ev.forker] = append(got[ev.forker], ev.child)
			}
		}
		sum := 0
		for pid, want := range forkers {
			if !slices.Equal(got[pid], want) {
				t.Errorf("%s: storm %d: %d forks, want %d and the same", name, pid, len(got[pid]), len(want))
			}
			sum += len(got[pid])
		}
		figure("listener that reads "+name, "%d forks of %d, %d numbers missing", sum, each*storms, missing)
	}
	if _, _, err := unix.Recvfrom(never, make([]byte, 64), 0); err != unix.EAGAIN {
		t.Errorf("a socket that joined nothing: %v, want EAGAIN", err)
	}
}

// Generations that fork as their first act, over both CPUs: each message comes
// before those of the child it is about.
func TestForkAncestryOrder(t *testing.T) {
	const chains, depth = 1000, 5
	for name, flags := range map[string]uint64{"fork": 0, "vfork": vfork} {
		t.Run(name, func(t *testing.T) {
			l := listen(t, 64<<20)
			s := storm{count: chains, flags: flags, depth: depth}
			_, wait1 := s.start(t)
			_, wait2 := s.start(t)
			wait1()
			wait2()
			// Only the first generation is waited for. A second is always
			// there by then, and with vfork, which waits, all are.
			want := 2 * chains * 2
			if flags == vfork {
				want = 2 * chains * depth
			}
			events := l.drain()
			if len(events) < want {
				t.Fatalf("%d messages, want at least %d", len(events), want)
			}
			born := make(map[int]int, len(events))
			for i, ev := range events {
				born[ev.child] = i
			}
			for i, ev := range events {
				if at, ok := born[ev.forker]; ok && at > i {
					t.Fatalf("message %d: %d forks before its own creation, message %d", i, ev.forker, at)
				}
			}
		})
	}
}

// With CLONE_PARENT the child's parent is the forker's parent, here this
// process; the message still names the forker.
func TestForkCloneParent(t *testing.T) {
	l := listen(t, 1<<20)
	forker, children := storm{count: 1, flags: unix.CLONE_PARENT}.run(t)
	child := children[0].pid
	if got, err := unix.Wait4(child, nil, unix.WALL, nil); got != child {
		t.Errorf("the child is not process %d's: %v", os.Getpid(), err)
	}
	for _, ev := range l.drain() {
		if ev.child == child {
			if ev.forker != forker {
				t.Errorf("forker %d, want %d", ev.forker, forker)
			}
			return
		}
	}
	t.Error("no message")
}
