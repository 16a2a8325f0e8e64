// SPDX-License-Identifier: Apache-2.0

package cnfork

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"elsa/internal/kerneltest"
	"elsa/pkg/stream"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// deadline bounds every wait; none is expected to come near it.
const deadline = 20 * time.Second

// feed is a running Conn and all that came from it.
type feed struct {
	*Conn
	t    testing.TB
	stop func()
	mark uint64

	events         []Event
	lost, rejected uint64
}

func needProc(t testing.TB) {
	t.Helper()
	kerneltest.Need(t, kerneltest.Root, kerneltest.InitNamespaces, kerneltest.ProcEvents)
}

func subscribe(t testing.TB, cfg Config) *feed {
	t.Helper()
	c, err := Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return run(t, c)
}

// run starts c and stops and closes it when t ends.
func run(t testing.TB, c *Conn) *feed {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	f := &feed{Conn: c, t: t}
	stopped := false
	f.stop = func() {
		t.Helper()
		if stopped {
			return
		}
		stopped = true
		cancel()
		for b := range c.Batches() {
			f.take(b)
		}
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	t.Cleanup(f.stop)
	return f
}

func (f *feed) take(b *stream.Batch[Event]) (barrier uint64) {
	f.events = append(f.events, b.Items...)
	f.lost += b.Lost
	f.rejected += b.Rejected
	barrier = b.Barrier
	f.Release(b)
	return barrier
}

// drain takes all that the kernel has queued by now.
func (f *feed) drain() {
	f.t.Helper()
	f.mark++
	f.Mark(f.mark)
	timeout := time.After(deadline)
	for {
		select {
		case b, ok := <-f.Batches():
			if !ok {
				f.t.Fatal("the stream ended")
			}
			if f.take(b) == f.mark {
				return
			}
		case <-timeout:
			f.t.Fatal("no barrier")
		}
	}
}

// until takes events until ok is content.
func (f *feed) until(what string, ok func() bool) {
	f.t.Helper()
	timeout := time.After(deadline)
	for f.drain(); !ok(); {
		select {
		case b := <-f.Batches():
			f.take(b)
		case <-timeout:
			f.t.Fatalf("%s did not come", what)
		}
	}
}

// forked returns where in the events the process parent forked the process
// pid, or -1. Pids are used again, more so if another test lowers pid_max.
func (f *feed) forked(parent, pid int) int {
	for i := len(f.events) - 1; i >= 0; i-- {
		e := &f.events[i]
		if e.Kind == Fork && int(e.PID) == pid && int(e.ParentTGID) == parent {
			return i
		}
	}
	return -1
}

// find returns the first event from the ith on of that kind for that thread.
func (f *feed) find(i int, kind Kind, pid int) *Event {
	for ; i >= 0 && i < len(f.events); i++ {
		if e := &f.events[i]; e.Kind == kind && int(e.PID) == pid {
			return e
		}
	}
	return nil
}

func TestKernelDial(t *testing.T) {
	needProc(t)
	began := time.Now()
	c, err := Dial(t.Context(), Config{})
	took := time.Since(began)
	if err != nil {
		t.Fatal(err)
	}
	f := run(t, c)
	if took > time.Second {
		t.Errorf("Dial took %v", took)
	}
	want := SourceProc
	if kerneltest.ForkConnector.Probe() == nil {
		want = SourceFork
	}
	s := c.Stats()
	if c.Source() != want || s.Source != want {
		t.Errorf("source %v, want %v", c.Source(), want)
	}
	if s.Buffer < 2*64<<20 {
		t.Errorf("buffer of %d bytes, want 128 MiB", s.Buffer)
	}
	// An overrun must cost no more than what did not fit.
	if on, err := unix.GetsockoptInt(c.Descriptor(), unix.SOL_NETLINK, unix.NETLINK_NO_ENOBUFS); err != nil || on != 1 {
		t.Errorf("NETLINK_NO_ENOBUFS is %d, %v", on, err)
	}
	// The test fork of Dial is the first that the consumer hears of.
	f.drain()
	mine := 0
	for _, e := range f.events {
		if e.Kind == Fork && (int(e.ParentTGID) == os.Getpid() || c.Source() == SourceFork) {
			mine++
		}
	}
	if mine == 0 {
		t.Error("the events that came during Dial are not delivered")
	}
	if s := c.Stats(); c.Source() == SourceProc && s.Events[Ack] == 0 || s.Events[Fork] == 0 || s.Rejected != 0 || s.Lost != 0 {
		t.Errorf("stats after Dial: %+v", s)
	}
}

func TestKernelDialEnds(t *testing.T) {
	needProc(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if c, err := Dial(ctx, Config{Source: SourceProc}); !errors.Is(err, context.Canceled) {
		t.Errorf("Dial with an ended context: %v, %v", c, err)
	}
}

func TestKernelForkConnectorMissing(t *testing.T) {
	needProc(t)
	if kerneltest.ForkConnector.Probe() == nil {
		return // TestKernelForkConnector has the other half
	}
	_, err := Dial(t.Context(), Config{Source: SourceFork})
	if !errors.Is(err, errSilent) || !strings.Contains(err.Error(), "CONFIG_FORK_CONNECTOR") {
		t.Errorf("Dial of a fork connector that is not there: %v", err)
	}
}

func TestKernelForkConnector(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root, kerneltest.InitNamespaces, kerneltest.ForkConnector)
	f := subscribe(t, Config{Source: SourceFork})
	const count = 500
	storm := kerneltest.Spawn(t, "storm", fmt.Sprint(count))
	pids := storm.Pids()
	storm.Wait()
	f.drain()
	// Its threads are tasks like its children, and any of them may fork.
	tasks, found := map[int32]bool{int32(storm.PID): true}, 0
	for _, e := range f.events {
		if !tasks[e.ParentPID] {
			continue
		}
		tasks[e.PID] = true
		if found < len(pids) && int(e.PID) == pids[found] {
			found++
		}
	}
	if len(pids) != count || found != count {
		t.Errorf("%d of %d forks below %d, in order; want %d", found, len(pids), storm.PID, count)
	}
	if s := f.Stats(); f.lost != 0 || s.Gaps != 0 || s.Rejected != 0 {
		t.Errorf("lost %d, %+v", f.lost, s)
	}
}

// Every process of a known tree is seen, in order, with its parent.
func TestKernelSeesEveryProcess(t *testing.T) {
	needProc(t)
	f := subscribe(t, Config{Source: SourceProc})
	const count = 500
	storm := kerneltest.Spawn(t, "storm", fmt.Sprint(count))
	pids := storm.Pids()
	storm.Wait()
	f.until("the storm's end", func() bool {
		return f.find(f.forked(os.Getpid(), storm.PID), Exit, storm.PID) != nil
	})
	begin := f.forked(os.Getpid(), storm.PID)
	if f.find(begin, Exec, storm.PID) == nil {
		t.Error("no exec of the storm")
	}
	if len(pids) != count {
		t.Fatalf("the storm made %d children, want %d", len(pids), count)
	}
	var forked []int
	for i, e := range f.events[begin:] {
		if e.Kind != Fork || int(e.ParentTGID) != storm.PID || e.Thread() {
			continue
		}
		forked = append(forked, int(e.PID))
		exit := f.find(begin+i, Exit, int(e.PID))
		if exit == nil {
			t.Fatalf("no exit of child %d", e.PID)
		}
		// At its exit a child may have been reaped already; then it has no parent.
		if int(exit.ParentTGID) != storm.PID && exit.ParentTGID != 0 || exit.ExitCode != 0 || exit.Time < e.Time {
			t.Errorf("child %d of %d: %+v, %+v", e.PID, storm.PID, e, *exit)
		}
	}
	if diff := cmp.Diff(pids, forked); diff != "" {
		t.Errorf("children of %d (-want +got):\n%s", storm.PID, diff)
	}
	if s := f.Stats(); f.lost != 0 || s.Gaps != 0 || f.rejected != 0 {
		t.Errorf("lost %d, rejected %d, %+v", f.lost, f.rejected, s)
	}
}

// A fork made before Mark is in the consumer's hands at its barrier.
func TestKernelBarrier(t *testing.T) {
	needProc(t)
	f := subscribe(t, Config{Source: SourceProc})
	for range 200 {
		f.events = f.events[:0]
		pid, err := kerneltest.Fork()
		if err != nil {
			t.Fatal(err)
		}
		f.drain()
		if f.forked(os.Getpid(), pid) < 0 {
			t.Fatalf("the fork of %d is not among %+v", pid, f.events)
		}
	}
}

// A second subscription with room for everything is the judge of what the
// first, with room for a handful and long pauses, has lost.
func TestKernelCountsLossExactly(t *testing.T) {
	needProc(t)
	judge := record(t)
	f := subscribe(t, Config{
		Source: SourceProc,
		Buffer: 8 << 10,
		Stream: stream.Options{Pause: 200 * time.Millisecond},
	})
	const count = 1000
	from := f.settle()
	storm := kerneltest.Spawn(t, "storm", fmt.Sprint(count))
	pids := storm.Pids()
	storm.Wait()
	to := f.settle()

	seen := uint64(0)
	for _, pid := range pids {
		if f.forked(storm.PID, pid) >= 0 {
			seen++
		}
	}
	if lost := to.lost - from.lost; lost == 0 || lost+seen < count {
		t.Errorf("%d lost, but of %d forks %d came", lost, count, seen)
	}
	type id struct{ cpu, seq uint32 }
	got := make(map[id]bool)
	for _, e := range f.events {
		got[id{e.CPU, e.Seq}] = true
	}
	var missed uint64
	judge.Mark(1)
	for barrier := uint64(0); barrier == 0; {
		b := <-judge.Batches()
		if b.Lost != 0 {
			t.Fatalf("the judge lost %d itself", b.Lost)
		}
		for _, d := range b.Items {
			n := id{binary.NativeEndian.Uint32(d[40:]), binary.NativeEndian.Uint32(d[24:])}
			first, last := from.last[n.cpu], to.last[n.cpu]
			if n.seq-first <= last-first && !got[n] { // numbers wrap
				missed++
			}
		}
		barrier = b.Barrier
		judge.Release(b)
	}
	if lost := to.lost - from.lost + to.silent - from.silent; missed != lost {
		t.Errorf("reported lost or not delivered %d, the judge says %d", lost, missed)
	}
	t.Logf("%d lost of %d", to.lost-from.lost, 2*count)
}

// account is what a feed knew when it had settled.
type account struct {
	last   map[uint32]uint32 // highest number by CPU
	lost   uint64
	silent uint64 // events of the kinds that are not delivered
}

// settle waits until the socket's count of drops, the holes in the numbers and
// Lost agree. A loss shows as a hole when the CPU's next event comes through,
// so it makes one on each.
func (f *feed) settle() account {
	f.t.Helper()
	for range 50 {
		forkOnEachCPU(f.t)
		f.drain()
		s := f.Stats()
		drops, err := stream.Drops(f.Descriptor())
		if err != nil {
			f.t.Fatal(err)
		}
		if s.Lost != f.lost {
			f.t.Fatalf("Stats say %d lost, the batches %d", s.Lost, f.lost)
		}
		if s.Gaps != s.Lost || uint64(drops) != s.Lost {
			continue
		}
		a := account{last: make(map[uint32]uint32), lost: f.lost, silent: s.Events[Other] + s.Events[Ack]}
		for _, e := range f.events {
			a.last[e.CPU] = e.Seq
		}
		return a
	}
	f.t.Fatalf("the counts do not come to agree: %+v", f.Stats())
	return account{}
}

// forkOnEachCPU makes one event or more on each CPU this process may run on.
func forkOnEachCPU(t testing.TB) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	defer unix.SchedSetaffinity(0, &all)
	for cpu := range 1024 {
		if !all.IsSet(cpu) {
			continue
		}
		var one unix.CPUSet
		one.Set(cpu)
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			t.Fatal(err)
		}
		if _, err := kerneltest.Fork(); err != nil {
			t.Fatal(err)
		}
	}
}

// What another process sends is the kernel's message in all but the sender's
// address.
func TestKernelRejectsForgery(t *testing.T) {
	needProc(t)
	f := subscribe(t, Config{Source: SourceProc})
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_CONNECTOR)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	const pid = 1<<31 - 2 // above any pid_max
	forged := AppendProc(nil, Event{Kind: Fork, PID: pid, TGID: pid, ParentPID: 1, ParentTGID: 1})
	const count = 3
	for range count {
		if err := unix.Sendto(fd, forged, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (procGroup - 1)}); err != nil {
			t.Fatal(err)
		}
	}
	f.drain()
	if f.rejected != count || f.Stats().Rejected != count {
		t.Errorf("%d rejected, want %d", f.rejected, count)
	}
	if f.forked(1, pid) >= 0 {
		t.Error("a forged event came through")
	}
	// And straight to our port, from another process or not.
	sa, err := unix.Getsockname(f.Descriptor())
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendto(fd, forged, 0, sa); err != nil {
		t.Fatal(err)
	}
	f.drain()
	if f.forked(1, pid) >= 0 || f.rejected != count+1 {
		t.Errorf("sent to the port: came through, or %d rejected, want %d", f.rejected, count+1)
	}
}

// dialRole prints what Dial says.
func dialRole(args []string) int {
	source, err := ParseSource(args[0])
	if err != nil {
		fmt.Println(err)
		return 2
	}
	c, err := Dial(context.Background(), Config{Source: source})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	c.Close()
	return 0
}

func TestKernelDialSaysWhy(t *testing.T) {
	needProc(t)
	for _, tt := range []struct {
		name string
		attr syscall.SysProcAttr
		want []string
	}{
		{"net namespace", syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}, []string{"net namespace", "host"}},
		{"pid namespace", syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}, []string{"pid namespace", "host"}},
		{"user namespace", syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
		}, []string{"user namespace", "host"}},
		{"all of them", syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
		}, []string{"namespace", "host"}},
		{"no capability", syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}},
			[]string{"CAP_NET_ADMIN is missing", "root"}},
	} {
		for _, source := range []Source{SourceAuto, SourceProc} {
			t.Run(tt.name+"/"+source.String(), func(t *testing.T) {
				cmd := kerneltest.Command("dial", source.String())
				cmd.SysProcAttr = &tt.attr
				began := time.Now()
				out, err := cmd.Output()
				took := time.Since(began)
				if cmd.ProcessState == nil {
					t.Fatal(err)
				}
				if code := cmd.ProcessState.ExitCode(); code != 1 {
					t.Errorf("exit status %d, want 1: %s", code, out)
				}
				for _, want := range tt.want {
					if !strings.Contains(string(out), want) {
						t.Errorf("it says %q, want something of %q", out, want)
					}
				}
				if strings.Count(string(out), "\n") != 1 {
					t.Errorf("not one line: %q", out)
				}
				if took > 2*time.Second {
					t.Errorf("it took %v", took)
				}
				t.Logf("%v: %s", took.Round(time.Millisecond), out)
			})
		}
	}
}

// After Close the kernel sends this subscription nothing: IGNORE has reached
// it. The kernel counts subscriptions, not sockets.
func TestKernelCloseUnsubscribes(t *testing.T) {
	needProc(t)
	c, err := Dial(t.Context(), Config{Source: SourceProc})
	if err != nil {
		t.Fatal(err)
	}
	twin, err := unix.Dup(c.Descriptor())
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(twin)
	queued := func() (n int) {
		var b [256]byte
		for {
			_, _, err := unix.Recvfrom(twin, b[:], unix.MSG_DONTWAIT)
			if err == unix.EAGAIN {
				return n
			}
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	fork := func() {
		if _, err := kerneltest.Fork(); err != nil {
			t.Fatal(err)
		}
	}
	fork()
	if queued() == 0 {
		t.Fatal("the socket's twin receives nothing before Close")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	queued()
	fork()
	if n := queued(); n != 0 {
		t.Errorf("%d events after Close", n)
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// A subscription that changes hands loses nothing: what happened between is
// in the socket's buffer.
func TestKernelResume(t *testing.T) {
	needProc(t)
	first := subscribe(t, Config{Source: SourceProc})
	first.drain()
	fd := first.Detach()
	first.stop()
	storm := kerneltest.Spawn(t, "storm", "300")
	pids := storm.Pids()
	storm.Wait()
	c, err := Resume(t.Context(), fd, first.Drops(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	f := run(t, c)
	f.drain()
	for _, pid := range pids {
		if f.forked(storm.PID, pid) < 0 {
			t.Fatalf("no fork of %d", pid)
		}
	}
	if f.lost != 0 || c.Source() != SourceProc {
		t.Errorf("lost %d, source %v", f.lost, c.Source())
	}
	before := f.Stats().Buffer
	if before < 2*64<<20 {
		t.Errorf("buffer of %d bytes, want what the first had", before)
	}
	f.stop()

	udp, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(udp)
	if _, err := Resume(t.Context(), udp, 0, Config{}); err == nil {
		t.Error("Resume takes a UDP socket")
	}
	mute, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_CONNECTOR)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(mute)
	if _, err := Resume(t.Context(), mute, 0, Config{}); err == nil {
		t.Error("Resume takes a socket in no group")
	}
	if _, err := io.ReadAll(io.LimitReader(os.NewFile(uintptr(mute), ""), 0)); err != nil {
		t.Errorf("the refused socket was closed: %v", err)
	}
}
