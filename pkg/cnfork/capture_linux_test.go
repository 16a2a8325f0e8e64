// SPDX-License-Identifier: Apache-2.0

package cnfork

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"elsa/internal/kerneltest"
	"elsa/pkg/stream"

	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "record testdata/*.hex from the running kernel")

func TestMain(m *testing.M) {
	kerneltest.Main(m, map[string]kerneltest.Role{
		"ids": idsRole, "dump": dumpRole, "dial": dialRole, "threads": threadsRole,
	})
}

// idsRole changes its thread's ids and name and prints the thread id.
func idsRole([]string) int {
	runtime.LockOSThread()
	fmt.Println(unix.Gettid())
	name, _ := unix.BytePtrFromString("elsa-fixture")
	for _, err := range []error{
		unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(name)), 0, 0, 0),
		rawID(unix.SYS_SETRESGID, 12347, 12348),
		rawID(unix.SYS_SETRESUID, 12345, 12346),
	} {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return 0
}

// dumpRole ends as a core dump, of no size.
func dumpRole([]string) int {
	runtime.LockOSThread()
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// The default action, which Go keeps from its programs: a null handler.
	var action [64]byte
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGQUIT), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGQUIT)
	return 1
}

func rawID(call uintptr, real, effective int) error {
	if _, _, errno := unix.RawSyscall(call, uintptr(real), uintptr(effective), ^uintptr(0)); errno != 0 {
		return errno
	}
	return nil
}

// A recorder keeps the datagrams of a subscription as they came.
type recorder struct {
	t   *testing.T
	r   *stream.Reader[[]byte]
	got [][]byte
}

// find returns the first datagram of that kind whose ids at the given offsets
// of the event are as given. An exit is reported only after the parent could
// know of it, so find waits.
func (r *recorder) find(what uint32, ids map[int]int) []byte {
	r.t.Helper()
	ne := binary.NativeEndian
	match := func(b []byte) bool {
		if ne.Uint32(b[36:]) != what {
			return false
		}
		for at, id := range ids {
			if int(ne.Uint32(b[52+at:])) != id {
				return false
			}
		}
		return true
	}
	for i := 0; ; i++ {
		for i == len(r.got) {
			select {
			case b := <-r.r.Batches():
				r.got = append(r.got, b.Items...)
				r.r.Release(b)
			case <-time.After(10 * time.Second):
				r.t.Fatalf("no event %#x with %v", what, ids)
			}
		}
		if match(r.got[i]) {
			return r.got[i]
		}
	}
}

// record subscribes and delivers the datagrams until the test ends.
func record(t *testing.T) *stream.Reader[[]byte] {
	t.Helper()
	c, err := Dial(t.Context(), Config{Source: SourceProc})
	if err != nil {
		t.Fatal(err)
	}
	r, err := stream.NewReader(c.Descriptor(), func(m stream.Message, b *stream.Batch[[]byte]) {
		b.Items = append(b.Items, bytes.Clone(m.Data))
	}, stream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.Detach()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, r.Close(), c.Close()); err != nil {
			t.Error(err)
		}
	})
	return r
}

// TestKernelCapture records one datagram of each kind, each caused by a known
// command, and writes them with -update. Without, it shows that the running
// kernel still says the same of the same causes: each is found by its ids, read
// at fixed offsets, and must be as long as the recorded one.
func TestKernelCapture(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root, kerneltest.InitNamespaces, kerneltest.ProcEvents)
	raw := record(t)
	rec := &recorder{t: t, r: raw}

	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		t.Fatal(err)
	}
	release, _, _ := strings.Cut(unix.ByteSliceToString(uts.Release[:]), "-")
	system := "Linux " + release + " " + unix.ByteSliceToString(uts.Machine[:])
	save := func(name string, b []byte, format string, args ...any) {
		t.Helper()
		path := filepath.Join("testdata", name+".hex")
		if !*update {
			if old := fixture(t, name); len(old) != len(b) {
				t.Errorf("%s: %d bytes now, %d in %s", name, len(b), len(old), path)
			}
			return
		}
		text := "# " + system + ", " + fmt.Sprintf(format, args...) + "\n"
		for i := 0; i < len(b); i += 4 {
			text += hex.EncodeToString(b[i:min(i+4, len(b))]) + "\n"
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	me, tid := os.Getpid(), unix.Gettid()
	run := func(cmd *exec.Cmd) int {
		t.Helper()
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return cmd.ProcessState.Pid()
	}

	pid := run(kerneltest.Command("exit", "7"))
	by := fmt.Sprintf("process %d, started by thread %d of process %d", pid, tid, me)
	save("fork", rec.find(whatFork, map[int]int{8: pid}), "a program that exits with 7: %s", by)
	save("exec", rec.find(whatExec, map[int]int{0: pid}), "a program that exits with 7: %s", by)
	save("exit", rec.find(whatExit, map[int]int{0: pid}), "a program that exits with 7: %s", by)

	victim := kerneltest.Spawn(t, "wait")
	if err := unix.Kill(victim.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	victim.Wait()
	save("kill", rec.find(whatExit, map[int]int{0: victim.PID}),
		"kill -KILL of process %d, started by thread %d of process %d", victim.PID, tid, me)

	dumper := kerneltest.Spawn(t, "dump")
	dumper.Wait()
	save("coredump", rec.find(whatCoredump, map[int]int{0: dumper.PID}),
		"ulimit -c 0; kill -QUIT $$: process %d, started by thread %d of process %d", dumper.PID, tid, me)

	cmd := kerneltest.Command("exit", "0")
	cmd.SysProcAttr.Setsid = true
	pid = run(cmd)
	save("sid", rec.find(whatSID, map[int]int{0: pid}), "setsid(): process %d", pid)

	ids := kerneltest.Spawn(t, "ids")
	task, err := strconv.Atoi(ids.Line())
	if err != nil {
		t.Fatal(err)
	}
	ids.Wait()
	of := fmt.Sprintf("thread %d of process %d", task, ids.PID)
	save("comm", rec.find(whatComm, map[int]int{0: task}), "prctl(PR_SET_NAME, \"elsa-fixture\"): %s", of)
	save("gid", rec.find(whatGID, map[int]int{0: task}), "setresgid(12347, 12348, -1): %s", of)
	save("uid", rec.find(whatUID, map[int]int{0: task}), "setresuid(12345, 12346, -1): %s", of)

	threads := kerneltest.Spawn(t, "wait")
	for task = threads.PID; task == threads.PID; {
		dir, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", threads.PID))
		if err != nil {
			t.Fatal(err)
		}
		if task, err = strconv.Atoi(dir[len(dir)-1].Name()); err != nil {
			t.Fatal(err)
		}
	}
	threads.Release()
	threads.Wait()
	of = fmt.Sprintf("thread %d of process %d, whose parent is thread %d of process %d", task, threads.PID, tid, me)
	save("thread", rec.find(whatFork, map[int]int{8: task}), "clone(CLONE_THREAD): %s", of)
	save("thread-exit", rec.find(whatExit, map[int]int{0: task}), "exit 0 of %s", of)

	traced := kerneltest.Spawn(t, "wait")
	if err := unix.PtraceAttach(traced.PID); err != nil {
		t.Fatal(err)
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(traced.PID, &ws, unix.WALL, nil); err != nil {
		t.Fatal(err)
	}
	if err := unix.PtraceDetach(traced.PID); err != nil {
		t.Fatal(err)
	}
	const whatPtrace = 0x100
	save("ptrace", rec.find(whatPtrace, map[int]int{0: traced.PID, 8: tid}),
		"ptrace(PTRACE_ATTACH, %d) by thread %d of process %d", traced.PID, tid, me)

	other, err := Dial(t.Context(), Config{Source: SourceProc})
	if err != nil {
		t.Fatal(err)
	}
	other.Close()
	save("ack", rec.find(whatNone, map[int]int{0: 0}), "answer to a LISTEN with ack %d", other.await.ack-1)
}
