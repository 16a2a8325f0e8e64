// SPDX-License-Identifier: Apache-2.0

package tracepoint_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
	"elsa/pkg/acct"
	"elsa/pkg/cnfork"
	"elsa/pkg/stream"
	"elsa/pkg/taskevent"
	"elsa/pkg/taskrelease"
	"elsa/pkg/tracepoint"
)

// roles are what spawned copies of the test binary can be asked to do.
var roles = map[string]kerneltest.Role{
	// open prints how it went to open events and releases, and to prove events.
	"open": func([]string) int {
		events, releases := tracepoint.NewLane(&taskevent.Decoder{}, stream.Cursor{}), tracepoint.NewLane(taskrelease.NewDecoder(), stream.Cursor{})
		s, err := tracepoint.Open(context.Background(), tracepoint.Config{RingBytes: 1 << 16}, events, releases)
		if err == nil {
			err = errors.Join(taskevent.Prove(s.Peek), s.Close())
		}
		fmt.Println(err)
		return 0
	},
}

func TestMain(m *testing.M) { kerneltest.Main(m, roles) }

func need(t testing.TB) {
	t.Helper()
	kerneltest.Need(t, kerneltest.Root, kerneltest.BTF, kerneltest.BPF)
}

// both is a source with events and releases, and what it delivered.
type both struct {
	*tracepoint.Source
	t              testing.TB
	events         *tracepoint.Lane[cnfork.Event]
	releases       *tracepoint.Lane[acct.Record]
	forks          map[int32]int // events of forks by this process
	records        map[int32]int
	lost           uint64
	at, releasesAt stream.Cursor
	mark           uint64
	stop           context.CancelFunc
	done           chan error
}

// lanes are new ones that go on at cursors.
func lanes(t testing.TB, events, releases stream.Cursor) *both {
	return &both{
		t: t, events: tracepoint.NewLane(&taskevent.Decoder{}, events),
		releases: tracepoint.NewLane(taskrelease.NewDecoder(), releases),
		forks:    map[int32]int{}, records: map[int32]int{},
	}
}

func open(t testing.TB, ringBytes int) *both {
	t.Helper()
	need(t)
	b := lanes(t, stream.Cursor{}, stream.Cursor{})
	s, err := tracepoint.Open(t.Context(), tracepoint.Config{RingBytes: ringBytes}, b.events, b.releases)
	if err != nil {
		t.Fatal(err)
	}
	b.run(s)
	return b
}

func (b *both) run(s *tracepoint.Source) {
	b.Source, b.done = s, make(chan error, 2)
	ctx, cancel := context.WithCancel(context.Background())
	b.stop = cancel
	go func() { b.done <- b.events.Run(ctx) }()
	go func() { b.done <- b.releases.Run(ctx) }()
	b.t.Cleanup(b.end)
}

// end ends the source, after what was read.
func (b *both) end() {
	if b.stop == nil {
		return
	}
	b.stop()
	b.stop = nil
	for e := range b.events.Batches() {
		b.takeEvents(e)
	}
	for r := range b.releases.Batches() {
		b.takeReleases(r)
	}
	for range 2 {
		if err := <-b.done; err != nil {
			b.t.Errorf("Run: %v", err)
		}
	}
}

func (b *both) takeEvents(e *stream.Batch[cnfork.Event]) {
	for i := range e.Items {
		if ev := &e.Items[i]; ev.Kind == cnfork.Fork && ev.Forker == int32(os.Getpid()) {
			b.forks[ev.TGID]++
		}
	}
	b.lost, b.at = b.lost+e.Lost, e.At
	b.reject(e.Rejected)
	b.events.Release(e)
}

func (b *both) takeReleases(r *stream.Batch[acct.Record]) {
	for i := range r.Items {
		b.records[r.Items[i].PID]++
	}
	b.releasesAt = r.At
	b.reject(r.Rejected)
	b.releases.Release(r)
}

func (b *both) reject(n uint64) {
	if n > 0 {
		b.t.Errorf("%d samples rejected", n)
	}
}

// barrier takes all that happened before the call, and no more.
func (b *both) barrier() {
	b.t.Helper()
	b.mark++
	b.events.Mark(b.mark)
	b.releases.Mark(b.mark)
	events, releases := b.events.Batches(), b.releases.Batches()
	timeout := time.After(kerneltest.Patience)
	for events != nil || releases != nil {
		select {
		case e := <-events:
			if e.Barrier == b.mark {
				events = nil
			}
			b.takeEvents(e)
		case r := <-releases:
			if r.Barrier == b.mark {
				releases = nil
			}
			b.takeReleases(r)
		case <-timeout:
			b.t.Fatal("no barrier")
		}
	}
}

// fork makes n children that end at once.
func fork(t testing.TB, n int) (pids []int32) {
	t.Helper()
	for range n {
		pid, err := kerneltest.Fork()
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, int32(pid))
	}
	return pids
}

// once checks that each fork was told, and none twice.
func (b *both) once(pids []int32) {
	b.t.Helper()
	for _, pid := range pids {
		if n := b.forks[pid]; n != 1 {
			b.t.Fatalf("the fork of %d was told %d times", pid, n)
		}
	}
}

// TestKernelRing goes through a ring and its many windows, with what was read given
// free late: all is delivered once, and both lanes end at one place.
func TestKernelRing(t *testing.T) {
	was := tracepoint.SetWindow(16 << 10)
	t.Cleanup(func() { tracepoint.SetWindow(was) })
	b := open(t, 1<<18)
	var pids []int32
	for b.at.Position < 3<<17 {
		pids = append(pids, fork(t, 50)...)
		b.barrier()
		if b.releasesAt.Position > b.at.Position {
			t.Errorf("events are read up to %d, and releases, which may be held back, up to %d", b.at.Position, b.releasesAt.Position)
		}
		if kept, of := b.Kept(); kept == 0 || of != 1<<18 {
			t.Errorf("%d of %d bytes are kept", kept, of)
		}
		b.Free(min(b.at.Position, b.releasesAt.Position))
	}
	b.once(pids)
	if b.lost != 0 {
		t.Errorf("%d lost", b.lost)
	}
}

// TestKernelLost reads nothing while more happens than the ring holds: what is
// delivered and what is told as lost are all, and the ring goes on.
func TestKernelLost(t *testing.T) {
	b := open(t, 16<<10)
	const children = 250
	pids := fork(t, children)
	b.barrier()
	if n := len(b.forks) + int(b.lost); b.lost == 0 || n < children || b.at.Lost != b.lost {
		t.Errorf("%d forks delivered and %d events lost of %d children; in all %d", len(b.forks), b.lost, children, b.at.Lost)
	}
	b.once(pids[:5])
	b.Free(min(b.at.Position, b.releasesAt.Position))
	lost := b.lost
	pids = fork(t, 3)
	b.barrier()
	b.once(pids)
	if b.lost != lost {
		t.Errorf("%d more lost", b.lost-lost)
	}
	// Releases come later. Each that found no room is a process, and is known in sum.
	kerneltest.Eventually(t, "releases that found no room", func() bool { b.barrier(); return b.releasesAt.Processes > 50 })
	if at := b.releasesAt; at.Processes > at.Lost || at.CPU < time.Duration(at.Processes)*5*time.Microsecond || at.CPU > time.Duration(at.Processes)*100*time.Millisecond {
		t.Errorf("releases lost: %+v", at)
	}
}

// TestKernelResume goes on with a source whose handles are kept, by descriptors and by
// pins: what happened since the last barrier comes, and nothing before it.
func TestKernelResume(t *testing.T) {
	for _, tt := range []struct {
		name string
		keep func(t *testing.T, h tracepoint.Handles) func() tracepoint.Handles
	}{
		{"descriptors", func(_ *testing.T, h tracepoint.Handles) func() tracepoint.Handles {
			return func() tracepoint.Handles { return h }
		}},
		{"pins", func(t *testing.T, h tracepoint.Handles) func() tracepoint.Handles {
			pins := tracepoint.Pins(filepath.Join(t.TempDir(), "bpf"))
			t.Cleanup(func() {
				if err := pins.Remove(); err != nil {
					t.Error(err)
				}
			})
			for range 2 { // the second replaces the first
				if err := pins.Keep(h); err != nil {
					t.Fatal(err)
				}
			}
			h.Close()
			return func() tracepoint.Handles {
				kept, err := pins.Kept()
				if err != nil {
					t.Fatal(err)
				}
				return kept
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			first := open(t, 1<<20)
			known := fork(t, 30)
			first.barrier()
			first.once(known)
			at, releasesAt := first.at, first.releasesAt
			h, err := first.Handles()
			if err != nil {
				t.Fatal(err)
			}
			kept := tt.keep(t, h)
			twice := fork(t, 30)
			first.barrier() // read, and not in any transaction
			first.end()
			missed := fork(t, 30)

			second := lanes(t, at, releasesAt)
			s, err := tracepoint.Resume(kept(), second.events, second.releases)
			if err != nil {
				t.Fatal(err)
			}
			if err := taskevent.Prove(s.Peek); err != nil {
				t.Fatal(err)
			}
			second.run(s)
			later := fork(t, 30)
			second.barrier()
			second.once(slices.Concat(twice, missed, later))
			for _, pid := range known {
				if n := second.forks[pid]; n != 0 {
					t.Fatalf("the fork of %d, which is known, was told again", pid)
				}
			}
			if second.lost != 0 {
				t.Errorf("%d lost", second.lost)
			}
			// There are guest kernels that leave out one in a thousand.
			kerneltest.Eventually(t, "records of those that ended while nobody read", func() bool {
				second.barrier()
				n := 0
				for _, pid := range missed {
					n += second.records[pid]
				}
				return n >= len(missed)-3
			})
		})
	}
}

// TestKernelResumeForeign keeps what does not go together, or not with the cursors: it
// is not gone on with, and all is closed.
func TestKernelResumeForeign(t *testing.T) {
	need(t)
	for _, tt := range []struct {
		name  string
		at    stream.Cursor
		spoil func(h, other tracepoint.Handles)
	}{
		{"another's link", stream.Cursor{}, func(h, o tracepoint.Handles) { h["fork-link"], o["fork-link"] = o["fork-link"], h["fork-link"] }},
		{"maps swapped", stream.Cursor{}, func(h, _ tracepoint.Handles) { h["ring"], h["state"] = h["state"], h["ring"] }},
		{"a map for a program", stream.Cursor{}, func(h, _ tracepoint.Handles) { h["exact-program"], h["ring"] = h["ring"], h["exact-program"] }},
		{"programs swapped", stream.Cursor{}, func(h, _ tracepoint.Handles) {
			h["exec-program"], h["exit-program"] = h["exit-program"], h["exec-program"]
		}},
		{"one is missing", stream.Cursor{}, func(h, o tracepoint.Handles) {
			o["left out"] = h["exit-link"]
			delete(h, "exit-link")
		}},
		{"ahead of the ring", stream.Cursor{Position: 1 << 40}, func(tracepoint.Handles, tracepoint.Handles) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			first, other := open(t, 1<<16), open(t, 1<<16)
			h, err := first.Handles()
			if err != nil {
				t.Fatal(err)
			}
			o, err := other.Handles()
			if err != nil {
				t.Fatal(err)
			}
			defer o.Close()
			tt.spoil(h, o)
			fds := slices.Collect(maps.Values(h))
			l := lanes(t, tt.at, stream.Cursor{})
			if s, err := tracepoint.Resume(h, l.events, l.releases); err == nil {
				s.Close()
				t.Error("went on")
			}
			for _, fd := range fds {
				if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
					t.Errorf("descriptor %d is open: %v", fd, err)
				}
			}
		})
	}
}

// After the pins are removed the kernel has nothing of ours.
func TestKernelUnpin(t *testing.T) {
	b := open(t, 1<<16)
	info, err := b.Programs()[0].Info()
	if err != nil {
		t.Fatal(err)
	}
	id, ok := info.ID()
	if !ok {
		t.Fatal("the program has no id")
	}
	h, err := b.Handles()
	if err != nil {
		t.Fatal(err)
	}
	pins := tracepoint.Pins(filepath.Join(t.TempDir(), "bpf"))
	if err := pins.Keep(h); err != nil {
		t.Fatal(err)
	}
	h.Close()
	b.end()
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		t.Fatalf("a pinned program is gone: %v", err)
	}
	p.Close()
	for range 2 {
		if err := pins.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	if h, err := pins.Kept(); err != nil || len(h) != 0 {
		t.Errorf("%v are kept: %v", h, err)
	}
	kerneltest.Eventually(t, "the program is gone", func() bool {
		p, err := ebpf.NewProgramFromID(id)
		if err == nil {
			p.Close()
		}
		return errors.Is(err, os.ErrNotExist)
	})
}

// Two capabilities suffice for events and releases, and without them the error names
// them.
func TestKernelCapabilities(t *testing.T) {
	need(t)
	nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
	for _, tt := range []struct {
		name string
		caps []uintptr
		want string
	}{
		{"CAP_BPF and CAP_PERFMON", []uintptr{unix.CAP_BPF, unix.CAP_PERFMON}, "<nil>"},
		{"CAP_BPF", []uintptr{unix.CAP_BPF}, "CAP_PERFMON"},
		{"none", nil, "CAP_BPF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := kerneltest.Command("open")
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: nobody, AmbientCaps: tt.caps, Pdeathsig: syscall.SIGKILL}
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(out), tt.want) {
				t.Errorf("it says %q, want %q in it", out, tt.want)
			}
		})
	}
}

// A kernel that is not guarded has its functions traced, and one that is refuses. Which
// it is must not depend on what is loaded besides.
func TestKernelGuarded(t *testing.T) {
	need(t)
	was := tracepoint.Guarded()
	t.Logf("guarded: %v", was)
	open(t, 1<<16)
	if is := tracepoint.Guarded(); is != was {
		t.Errorf("guarded: %v, and then %v", was, is)
	}
}

// A ring takes little resident memory, however large it is.
func TestKernelResident(t *testing.T) {
	need(t)
	mapped := func() (kB int) {
		text, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var n int
			if _, err := fmt.Sscanf(line, "RssFile: %d kB", &n); err == nil {
				kB += n
			}
			if _, err := fmt.Sscanf(line, "RssShmem: %d kB", &n); err == nil {
				kB += n
			}
		}
		return kB
	}
	before := mapped()
	b := open(t, 64<<20)
	fork(t, 30)
	b.barrier()
	if grown := mapped() - before; grown < 512 || grown > 2048 {
		t.Errorf("a ring of 64 MiB adds %d KiB to what is mapped and resident, want little more than a window of 512", grown)
	}
}
