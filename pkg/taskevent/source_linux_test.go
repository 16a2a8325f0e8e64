// SPDX-License-Identifier: Apache-2.0

package taskevent

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
	"elsa/pkg/clock"
	"elsa/pkg/cnfork"
	"elsa/pkg/proc"
	"elsa/pkg/stream"
	"elsa/pkg/tracepoint"
)

// roles are what spawned copies of the test binary can be asked to do, besides
// kerneltest's own.
var roles = map[string]kerneltest.Role{
	// become takes user and group 65534 and executes a program.
	"become": func([]string) int {
		if syscall.Setgid(65534) != nil || syscall.Setuid(65534) != nil {
			return 1
		}
		return int(syscall.Exec("/bin/true", []string{"true"}, nil).(syscall.Errno))
	},
	"uring": uring,
	// comeandgo makes so many threads, one after the other.
	"comeandgo": func(args []string) int {
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return 1
		}
		for range n {
			gone := make(chan struct{})
			go func() {
				runtime.LockOSThread() // and never unlocked: the thread ends too
				close(gone)
			}()
			<-gone
		}
		return 0
	},
}

func TestMain(m *testing.M) { kerneltest.Main(m, roles) }

// warm lets package os fork the child by which it finds out once whether the kernel
// has pidfds.
func warm(t testing.TB) {
	t.Helper()
	if err := exec.Command("/bin/true").Run(); err != nil {
		t.Fatal(err)
	}
}

// cgroup2 is a mounted unified hierarchy of control groups.
var cgroup2 = kerneltest.Requirement{Name: "cgroup2", Probe: func() error { _, err := proc.Cgroup2(); return err }}

func need(t testing.TB) {
	t.Helper()
	kerneltest.Need(t, kerneltest.Root, kerneltest.BTF, kerneltest.BPF)
}

// follow runs a source and collects what it delivers until it is told to end.
type follow struct {
	*tracepoint.Lane[cnfork.Event]
	t      testing.TB
	events []cnfork.Event
	lost   uint64
	mark   uint64
}

// dial opens a source whose ring holds so many bytes, and runs it.
func dial(t testing.TB, ringBytes int) *follow {
	t.Helper()
	need(t)
	lane := tracepoint.NewLane(&Decoder{}, stream.Cursor{})
	s, err := tracepoint.Open(t.Context(), tracepoint.Config{RingBytes: ringBytes}, lane)
	if err != nil {
		t.Fatal(err)
	}
	if err := Prove(s.Peek); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- lane.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range lane.Batches() {
		}
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return &follow{Lane: lane, t: t}
}

// barrier collects all that happened before the call.
func (f *follow) barrier() {
	f.t.Helper()
	f.mark++
	f.Mark(f.mark)
	timeout := time.After(30 * time.Second)
	for {
		select {
		case b := <-f.Batches():
			f.take(b)
			if b.Barrier == f.mark {
				f.Release(b)
				return
			}
			f.Release(b)
		case <-timeout:
			f.t.Fatal("no barrier within 30s")
		}
	}
}

func (f *follow) take(b *stream.Batch[cnfork.Event]) {
	f.events = append(f.events, b.Items...)
	f.lost += b.Lost
	if b.Rejected > 0 {
		f.t.Errorf("%d samples rejected", b.Rejected)
	}
}

// family tells what happened to the descendants of this process, by name: "self",
// and "a", "b" in the order of their forks. It checks that each start is the one
// the fork told, and that it fits /proc's clock.
func (f *follow) family(from clock.Boot) (story []string) {
	type life struct {
		name  string
		start clock.Boot
	}
	known := map[int32]life{int32(os.Getpid()): {"self", 0}}
	name := func(pid int32, start clock.Boot) string {
		l, ok := known[pid]
		switch {
		case !ok:
			return "stranger"
		case l.start != 0 && start != 0 && l.start != start:
			f.t.Errorf("%s began at %d, and by a later event at %d", l.name, l.start, start)
		}
		return l.name
	}
	for i := range f.events {
		e := &f.events[i]
		switch _, ok := known[e.TGID]; {
		case e.Kind == cnfork.Fork && known[e.Forker].name != "":
			l := life{string(rune('a' + len(known) - 1)), e.Start}
			if now := proc.Now(); e.Start < from || e.Start > now {
				f.t.Errorf("%s began at %d, not between %d and %d", l.name, e.Start, from, now)
			}
			known[e.TGID] = l
			said := fmt.Sprintf("%s forks %s", name(e.Forker, e.ForkerStart), l.name)
			if e.ParentTGID != e.Forker {
				said += ", child of " + name(e.ParentTGID, 0)
			}
			story = append(story, said)
		case !ok:
		case e.Kind == cnfork.Exec:
			said := fmt.Sprintf("%s executes %s", name(e.TGID, e.Start), strings.TrimRight(string(e.Comm[:]), "\x00"))
			if e.UID != 0 || e.GID != 0 {
				said += fmt.Sprintf(" as %d:%d", e.UID, e.GID)
			}
			story = append(story, said)
		case e.Kind == cnfork.Exit:
			story = append(story, name(e.TGID, e.Start)+" ends")
		}
	}
	return story
}

// TestKernelBPFEvents makes processes in each way there is.
func TestKernelBPFEvents(t *testing.T) {
	warm(t)
	role := func(name string, args ...string) func(*testing.T) {
		return func(t *testing.T) {
			cmd := kerneltest.Command(name, args...)
			if err := cmd.Run(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	for _, tt := range []struct {
		name string
		do   func(*testing.T)
		want []string
	}{
		{"fork", func(t *testing.T) {
			if _, err := kerneltest.Fork(); err != nil {
				t.Fatal(err)
			}
		}, []string{"self forks a", "a ends"}},
		{"vfork and exec", func(t *testing.T) {
			if err := exec.Command("/bin/true").Run(); err != nil {
				t.Fatal(err)
			}
		}, []string{"self forks a", "a executes true", "a ends"}},
		{"CLONE_PARENT", func(t *testing.T) {
			c := kerneltest.Spawn(t, "sibling")
			c.Release()
			pids := c.Pids()
			if len(pids) != 1 {
				t.Fatalf("the sibling is %v", pids)
			}
			if _, err := unix.Wait4(pids[0], nil, 0, nil); err != nil {
				t.Fatal(err)
			}
			c.Wait()
		}, []string{"self forks a", "a executes exe", "a forks b, child of self", "a ends", "b ends"}},
		{"threads", role("threads", "4", "1ms", "0"), []string{"self forks a", "a executes exe", "a ends"}},
		{"2000 threads that come and go", role("comeandgo", "2000"), []string{"self forks a", "a executes exe", "a ends"}},
		{"io_uring", func(t *testing.T) {
			kerneltest.Need(t, ioUring)
			role("uring")(t)
		}, []string{"self forks a", "a executes exe", "a ends"}},
		{"leader first", role("leaderfirst", "2", "5ms", "0"), []string{"self forks a", "a executes exe", "a ends"}},
		{"exec from a thread", role("execthread"), []string{"self forks a", "a executes exe", "a executes exe", "a ends"}},
		{"setuid", role("become"), []string{"self forks a", "a executes exe", "a executes true as 65534:65534", "a ends"}},
		{"pid namespace", func(t *testing.T) {
			cmd := kerneltest.Command("storm", "1")
			cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWPID
			if err := cmd.Run(); err != nil {
				t.Fatal(err)
			}
		}, []string{"self forks a", "a executes exe", "a forks b", "b ends", "a ends"}},
		{"killed", func(t *testing.T) {
			c := kerneltest.Spawn(t, "wait")
			c.Process.Kill()
			c.Wait()
		}, []string{"self forks a", "a executes exe", "a ends"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := dial(t, 1<<20)
			f.barrier()
			f.events = nil // of the proof
			from := proc.Now()
			tt.do(t)
			f.barrier()
			got := f.family(from)
			slices.Sort(got) // two may end in either order; what comes first is TestKernelBPFOrder's
			slices.Sort(tt.want)
			if last, err := tellsLast(); err != nil {
				t.Error(err)
			} else if !last {
				got = slices.Compact(got)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if f.lost != 0 {
				t.Errorf("%d lost", f.lost)
			}
		})
	}
}

// A program that is started in a control group is told with its id, which is the
// inode of the directory.
func TestKernelBPFCgroup(t *testing.T) {
	kerneltest.Need(t, cgroup2)
	root, err := proc.Cgroup2()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(root, "elsa-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(dir)
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		t.Fatal(err)
	}
	f := dial(t, 1<<20)
	cmd := exec.Command("/bin/true")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	f.barrier()
	for i := range f.events {
		if e := &f.events[i]; e.Kind == cnfork.Exec && int(e.TGID) == cmd.Process.Pid {
			if e.Cgroup != st.Ino {
				t.Errorf("control group %d, want %d of %s", e.Cgroup, st.Ino, filepath.Base(dir))
			}
			cgroups := proc.OpenCgroups()
			for range 2 { // looked up, and known
				if path, ok := cgroups.Path(e.Cgroup); !ok || path != "/"+filepath.Base(dir) {
					t.Errorf("control group %d is %q, %v; want /%s", e.Cgroup, path, ok, filepath.Base(dir))
				}
			}
			if path, ok := cgroups.Path(1 << 40); ok {
				t.Errorf("a control group that is none is %q", path)
			}
			return
		}
	}
	t.Error("no exec")
}

// TestKernelBPFOrder forks from several processes at once: no process is told of
// before its fork or after its end, and none twice.
func TestKernelBPFOrder(t *testing.T) {
	f := dial(t, 8<<20)
	f.barrier()
	f.events = nil
	var children []*kerneltest.Child
	const storms, each = 4, 500
	for range storms {
		children = append(children, kerneltest.Spawn(t, "storm", fmt.Sprint(each)))
	}
	for _, c := range children {
		c.Pids()
		c.Wait()
	}
	f.barrier()
	alive := map[int32]clock.Boot{int32(os.Getpid()): 0}
	forks := 0
	for i := range f.events {
		e := &f.events[i]
		switch e.Kind {
		case cnfork.Fork:
			if _, ours := alive[e.Forker]; !ours {
				continue
			}
			if _, twice := alive[e.TGID]; twice {
				t.Fatalf("%d was forked again before its end", e.TGID)
			}
			alive[e.TGID] = e.Start
			forks++
		case cnfork.Exit:
			if start, ours := alive[e.TGID]; ours {
				if start != e.Start {
					t.Fatalf("%d ended that began at %d, and the one forked at %d", e.TGID, e.Start, start)
				}
				delete(alive, e.TGID)
			}
		}
	}
	if want := storms * (each + 1); forks != want || len(alive) != 1 || f.lost != 0 {
		t.Errorf("%d forks, want %d; %d live, want 1; %d lost", forks, want, len(alive), f.lost)
	}
}
