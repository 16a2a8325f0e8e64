// SPDX-License-Identifier: Apache-2.0

package taskstats

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mdlayher/genetlink"
	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
	"elsa/pkg/acct"
	"elsa/pkg/stream"
)

var update = flag.Bool("update", false, "record testdata from the running kernel")

// roles are what spawned copies of the test binary can be asked to do, besides
// kerneltest's own.
var roles = map[string]kerneltest.Role{
	// dial prints how Dial went.
	"dial": func([]string) int {
		c, err := Dial(context.Background(), Config{})
		fmt.Println(err)
		if err == nil {
			c.Close()
		}
		return 0
	},
}

func TestMain(m *testing.M) { kerneltest.Main(m, roles) }

func needTaskstats(t *testing.T) {
	t.Helper()
	kerneltest.Need(t, kerneltest.Root, kerneltest.InitNamespaces, kerneltest.Taskstats)
}

// TestKernelTaskstats ends processes of known behaviour and reads what the
// kernel sends. With -update it keeps the messages in testdata/taskstats.hex,
// for TestDecodeTaskstats.
func TestKernelTaskstats(t *testing.T) {
	needTaskstats(t)
	c, err := Dial(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	dir := t.TempDir()
	type process struct {
		name string
		pid  int
		want acct.Record
		keep bool          // its messages in testdata
		used time.Duration // zero is not known
		out  uint64        // blocks of 512 bytes
	}
	began := time.Now()
	var processes []process
	spawn := func(p process, role string, args ...string) {
		s := kerneltest.Spawn(t, role, args...)
		if role == "wait" {
			unix.Kill(s.PID, unix.SIGKILL)
		}
		usage := s.Wait().SysUsage().(*syscall.Rusage)
		p.used = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
		p.out = uint64(usage.Oublock)
		p.pid = s.PID
		processes = append(processes, p)
	}
	const ms = time.Millisecond
	spawn(process{name: "exit 7", want: acct.Record{ExitCode: 0x700}}, "exit", "7")
	spawn(process{name: "SIGKILL", want: acct.Record{ExitCode: 9}}, "wait")
	spawn(process{name: "setuid", want: acct.Record{UID: 65534, GID: 65533}}, "nobody")
	spawn(process{name: "burn 200ms"}, "burn", "200ms")
	spawn(process{name: "3 threads of 60ms, exit 4", want: acct.Record{ExitCode: 0x400}}, "threads", "3", "60ms", "4")
	spawn(process{keep: true, name: "the same, leader first", want: acct.Record{ExitCode: 0x400}}, "leaderfirst", "3", "60ms", "4")
	spawn(process{keep: true, name: "exec from a thread"}, "execthread")
	spawn(process{keep: true, name: "write 1048576", want: acct.Record{WriteChars: 1 << 20}}, "write", "1048576", filepath.Join(dir, "file"))
	pid, err := kerneltest.Fork()
	if err != nil {
		t.Fatal(err)
	}
	processes = append(processes, process{keep: true, name: "fork", pid: pid, want: acct.Record{Flags: acct.FlagFork}})

	// All were sent before the parent was told, so they are in the socket.
	got := make(map[int32][]acct.Record)
	raw := make(map[int32][][]byte)
	fd := c.Descriptor()
	buf := make([]byte, 4096)
	for {
		n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
		if err == unix.EAGAIN {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var b stream.Batch[acct.Record]
		c.exit = threadExit{}
		c.decode(stream.Message{Data: buf[:n], Kernel: true}, &b)
		if b.Rejected != 0 {
			t.Errorf("rejected: %x", buf[:n])
		}
		if c.exit.rec.PPID != c.self {
			continue // its number may be that of one of ours, later
		}
		raw[c.exit.tgid] = append(raw[c.exit.tgid], slices.Clone(buf[:n]))
		for _, r := range b.Items {
			got[r.PID] = append(got[r.PID], r)
		}
	}
	out := fmt.Sprintf("# TASKSTATS_CMD_NEW messages, recorded by TestKernelTaskstats -update on %s\n", kerneltest.KernelName(t))
	for _, p := range processes {
		records := got[int32(p.pid)]
		if len(records) != 1 {
			t.Errorf("%s: %d records, want 1: %+v", p.name, len(records), records)
			continue
		}
		r := records[0]
		if !r.Whole || r.Source != acct.Taskstats || r.Flags&acct.FlagGroup == 0 {
			t.Errorf("%s: not a whole process: %+v", p.name, r)
		}
		if r.PPID != int32(os.Getpid()) || r.ExitCode != p.want.ExitCode || r.UID != p.want.UID || r.GID != p.want.GID || r.Flags&acct.FlagFork != p.want.Flags {
			t.Errorf("%s: parent %d, exit %#x, uid %d, gid %d, flags %#x; want %d %#x %d %d %#x", p.name,
				r.PPID, r.ExitCode, r.UID, r.GID, r.Flags&acct.FlagFork, os.Getpid(), p.want.ExitCode, p.want.UID, p.want.GID, p.want.Flags)
		}
		// A few milliseconds are missing of each thread, and the ticks are a
		// rough measure of so little.
		if p.used > 0 && (r.Runtime < p.used-60*ms || r.Runtime > p.used+ms) {
			t.Errorf("%s: ran %v, used %v by wait4", p.name, r.Runtime, p.used)
		}
		if r.CPU != r.User+r.System || p.used > 0 && (r.CPU < p.used/3-20*ms || r.CPU > 3*p.used+20*ms) {
			t.Errorf("%s: user %v, system %v, together %v; used %v by wait4", p.name, r.User, r.System, r.CPU, p.used)
		}
		// At the end of a process its files' metadata may be written.
		if blocks := r.WriteBytes >> 9; blocks > p.out || blocks+64 < p.out || r.WriteChars < p.want.WriteChars {
			t.Errorf("%s: wrote %d blocks and %d characters; wait4 says %d blocks, want %d characters",
				p.name, r.WriteBytes>>9, r.WriteChars, p.out, p.want.WriteChars)
		}
		// The one that was killed may have had no time for anything, and the one
		// that only forked need not have left the CPU before its end.
		if p.name != "SIGKILL" && (r.MinorFaults == 0 || r.MaxRSS < 1<<16 || r.MaxVM < r.MaxRSS || r.VoluntarySwitches == 0 && p.name != "fork") {
			t.Errorf("%s: %d faults, %d resident of %d, %d switches", p.name, r.MinorFaults, r.MaxRSS, r.MaxVM, r.VoluntarySwitches)
		}
		if age := time.Since(began); r.Elapsed <= 0 || r.Elapsed > age || 8*r.Elapsed < p.used {
			t.Errorf("%s: lived %v of %v", p.name, r.Elapsed, age)
		}
		if r.Begin < began.Unix()-1 || r.Begin > time.Now().Unix()+1 {
			t.Errorf("%s: began %d, not between %d and now", p.name, r.Begin, began.Unix())
		}
		if p.keep {
			for i, m := range raw[r.PID] {
				out += fmt.Sprintf("%x # %s: %d of %d\n", m, p.name, i+1, len(raw[r.PID]))
			}
		}
	}
	if len(c.join.open) != 0 {
		for tgid := range c.join.open {
			if syscall.Kill(int(tgid), 0) != nil {
				t.Errorf("process %d is gone and was never completed", tgid)
			}
		}
	}
	if *update && !t.Failed() {
		if err := os.WriteFile("testdata/taskstats.hex", []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A process's record is queued before its parent is told of its end, so a
// barrier asked for then comes after it.
func TestKernelTaskstatsBarrier(t *testing.T) {
	needTaskstats(t)
	c, err := Dial(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	for n := uint64(1); n <= 50; n++ {
		pid, err := kerneltest.Fork()
		if err != nil {
			t.Fatal(err)
		}
		c.Mark(n)
		seen := false
		for b := range c.Batches() {
			for _, r := range b.Items {
				seen = seen || r.PID == int32(pid)
			}
			barrier := b.Barrier
			c.Release(b)
			if barrier == n {
				break
			}
		}
		if !seen {
			t.Fatalf("barrier %d came before the record of process %d", n, pid)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// With a buffer for a handful of messages every death is either delivered or
// counted as lost.
func TestKernelTaskstatsLoss(t *testing.T) {
	needTaskstats(t)
	c, err := Dial(t.Context(), Config{ReadBuffer: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const storm = 100
	for range storm {
		if _, err := kerneltest.Fork(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	items, lost := 0, uint64(0)
	for n := uint64(1); n <= 2; n++ {
		c.Mark(n)
		for b := range c.Batches() {
			items += len(b.Items)
			lost += b.Lost
			barrier := b.Barrier
			c.Release(b)
			if barrier == n {
				break
			}
		}
		if _, err := kerneltest.Fork(); err != nil {
			t.Fatal(err)
		}
	}
	if items == 0 || lost == 0 || items+int(lost) < storm {
		t.Errorf("of %d deaths %d were delivered and %d lost", storm, items, lost)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if c.join.losses == 0 {
		t.Error("the sums over threads were not told of the loss")
	}
}

// What is not from the kernel, or not of the family, is counted and not read.
func TestTaskstatsReject(t *testing.T) {
	fd, err := openSocket(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	c := &Conn{family: genetlink.Family{ID: 21}, join: newThreadJoin()}
	if c.Reader, err = stream.NewReader(fd, c.decode, stream.Options{}); err != nil {
		unix.Close(fd)
		t.Fatal(err)
	}
	defer c.Reader.Close()
	record := recorded(t)["fork"][0]
	good := kernelMessage(21, record)
	long := slices.Clone(good)
	binary.NativeEndian.PutUint32(long, 1<<20)
	short := slices.Clone(good)
	binary.NativeEndian.PutUint32(short, netlinkHeader-1)
	for _, tt := range []struct {
		name            string
		m               stream.Message
		items, rejected int
	}{
		{"a record", stream.Message{Data: good, Kernel: true}, 1, 0},
		{"with something behind it", stream.Message{Data: append(slices.Clone(good), 1, 2, 3), Kernel: true}, 1, 0},
		{"forged", stream.Message{Data: good}, 0, 1},
		{"truncated", stream.Message{Data: good, Kernel: true, Truncated: true}, 0, 1},
		{"longer than it is", stream.Message{Data: long, Kernel: true}, 0, 1},
		{"shorter than can be", stream.Message{Data: short, Kernel: true}, 0, 1},
		{"of another family", stream.Message{Data: kernelMessage(22, record), Kernel: true}, 0, 1},
		{"empty", stream.Message{Kernel: true}, 0, 1},
		{"an answer", stream.Message{Data: kernelMessage(unix.NLMSG_ERROR, u32(0)), Kernel: true}, 0, 0},
		{"an answer cut short", stream.Message{Data: kernelMessage(unix.NLMSG_ERROR, nil), Kernel: true}, 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b stream.Batch[acct.Record]
			c.decode(tt.m, &b)
			if len(b.Items) != tt.items || b.Rejected != uint64(tt.rejected) {
				t.Errorf("%d items, %d rejected; want %d, %d", len(b.Items), b.Rejected, tt.items, tt.rejected)
			}
		})
	}
}

// Where no record can come, Dial says what is wrong.
func TestKernelTaskstatsRefused(t *testing.T) {
	needTaskstats(t)
	for _, tt := range []struct {
		name string
		attr syscall.SysProcAttr
		want string
	}{
		{"initial namespaces", syscall.SysProcAttr{}, "<nil>"},
		{"net namespace", syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}, "initial network namespace"},
		{"pid namespace", syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}, "initial user and pid namespaces"},
		{"nobody", syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}, "CAP_NET_ADMIN"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := kerneltest.Command("dial")
			tt.attr.Pdeathsig = syscall.SIGKILL
			cmd.SysProcAttr = &tt.attr
			start := time.Now()
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(out), tt.want) {
				t.Errorf("Dial says %q, want %q in it", out, tt.want)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// An ended context ends the dialling.
func TestKernelTaskstatsCancel(t *testing.T) {
	needTaskstats(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c, err := Dial(ctx, Config{})
	if err == nil {
		c.Close()
		t.Fatal("Dial went on with an ended context")
	}
}

// Dialling in the middle of a storm must not take a record for the answer, nor
// leave a registration behind that a later socket inherits.
func TestKernelTaskstatsRedial(t *testing.T) {
	needTaskstats(t)
	storm := kerneltest.Spawn(t, "storm", "300")
	for range 20 {
		c, err := Dial(t.Context(), Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatalf("second Close: %v", err)
		}
	}
	storm.Pids()
	storm.Wait()
}

// kernelMessage wraps a payload as the kernel would.
func kernelMessage(kind uint16, payload []byte) []byte {
	b := make([]byte, netlinkHeader, netlinkHeader+len(payload))
	binary.NativeEndian.PutUint32(b, uint32(netlinkHeader+len(payload)))
	binary.NativeEndian.PutUint16(b[4:], kind)
	return append(b, payload...)
}

// TestKernelTaskstatsResume gives a registered socket away: what ended while
// nobody read is read by the next, and the loss is counted on.
func TestKernelTaskstatsResume(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root, kerneltest.InitNamespaces, kerneltest.Taskstats)
	first, err := Dial(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	fd := first.Detach()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	var want []int32
	for range 3 {
		cmd := exec.Command("/bin/true")
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		want = append(want, int32(cmd.Process.Pid))
	}
	c, err := Resume(t.Context(), fd, first.Drops(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	c.Mark(1)
	got := map[int32]int{}
	for b := range c.Batches() {
		for _, r := range b.Items {
			if r.Whole {
				got[r.PID]++
			}
		}
		if b.Lost != 0 {
			t.Errorf("%d lost", b.Lost)
		}
		if b.Barrier == 1 {
			cancel()
		}
		c.Release(b)
	}
	if err := errors.Join(<-ended, c.Close()); err != nil {
		t.Error(err)
	}
	for _, pid := range want {
		if got[pid] != 1 {
			t.Errorf("%d records of process %d, want 1", got[pid], pid)
		}
	}

	for _, protocol := range []int{unix.NETLINK_GENERIC, unix.NETLINK_ROUTE} { // one not registered, one of another kind
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if c, err := Resume(ctx, fd, 0, Config{}); err == nil {
			t.Errorf("went on with a socket of protocol %d", protocol)
			c.Close()
		}
		cancel()
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
			t.Errorf("the socket is open after the failure: %v", err)
		}
	}
}
