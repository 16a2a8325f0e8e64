// SPDX-License-Identifier: Apache-2.0

package acct

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"elsa/internal/kerneltest"

	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "record testdata from the running kernel")

func init() {
	roles["nobody"] = func([]string) int {
		if err := syscall.Setgid(65533); err != nil {
			return 1
		}
		if err := syscall.Setuid(65534); err != nil {
			return 1
		}
		return 0
	}
	// execthread executes another role in a thread that is not the leader.
	roles["execthread"] = func([]string) int {
		failed := make(chan int)
		// The main goroutine stays on the leader, so the other cannot be there.
		runtime.LockOSThread()
		go func() {
			runtime.LockOSThread()
			cmd := kerneltest.Command("exit", "0")
			syscall.Exec(cmd.Path, cmd.Args, cmd.Env)
			failed <- 1
		}()
		return <-failed
	}
}

// TestKernelBSD ends processes of known behaviour under accounting and reads
// their lines. With -update it keeps the lines in testdata/bsd_v3.hex, for
// TestDecodeBSDRecorded.
func TestKernelBSD(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root, kerneltest.InitNamespaces, kerneltest.BSDAcct)
	kerneltest.LockAccounting(t)
	path := filepath.Join(t.TempDir(), "pacct")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := SwitchOn(path); err != nil {
		t.Fatal(err)
	}
	var names []string
	want := make(map[string]Record)
	add := func(name string, pid int, r Record) {
		r.PID = int32(pid)
		names = append(names, name)
		want[name] = r
	}
	spawn := func(name string, r Record, role string, args ...string) {
		c := kerneltest.Spawn(t, role, args...)
		if role == "wait" {
			if err := unix.Kill(c.PID, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		c.Wait()
		add(name, c.PID, r)
	}
	began := time.Now().Unix()
	spawn("exit 7", Record{ExitCode: 0x700}, "exit", "7")
	spawn("SIGKILL", Record{ExitCode: 9}, "wait")
	spawn("burn 250ms", Record{}, "burn", "250ms")
	spawn("setuid", Record{UID: 65534, GID: 65533}, "nobody")
	spawn("exec from a thread", Record{}, "execthread")
	pid, err := kerneltest.Fork()
	if err != nil {
		t.Fatal(err)
	}
	add("fork", pid, Record{Flags: FlagFork})
	if err := SwitchOff(); err != nil {
		t.Fatal(err)
	}
	add("living caller", os.Getpid(), Record{})

	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(file)%BSDSize != 0 {
		t.Errorf("%d bytes of accounting, want a multiple of %d", len(file), BSDSize)
	}
	lines := make(map[int32][]byte)
	for b := file; len(b) >= BSDSize; b = b[BSDSize:] {
		var r Record
		if err := DecodeBSD(b, &r); err != nil {
			t.Fatalf("%x: %v", b[:BSDSize], err)
		}
		lines[r.PID] = b[:BSDSize]
	}
	out := fmt.Sprintf("# struct acct_v3 lines, recorded by TestKernelBSD -update on %s\n", kernelName(t))
	for _, name := range names {
		want := want[name]
		line := lines[want.PID]
		if line == nil {
			t.Errorf("%s: no line", name)
			continue
		}
		out += fmt.Sprintf("%x # %s\n", line, name)
		var got Record
		if err := DecodeBSD(line, &got); err != nil {
			t.Fatal(err)
		}
		if name == "living caller" {
			if !living((*[BSDSize]byte)(line)) || got.PPID != int32(os.Getppid()) || got.ExitCode != 0 {
				t.Errorf("%s: %+v", name, got)
			}
			continue
		}
		if living((*[BSDSize]byte)(line)) {
			t.Errorf("%s: taken for a living caller", name)
		}
		// AXSIG is no use: whoever ends with threads left has it, because the
		// kernel kills those.
		if got.ExitCode != want.ExitCode || got.UID != want.UID || got.GID != want.GID || got.Flags&FlagFork != want.Flags {
			t.Errorf("%s: exit %#x uid %d gid %d flags %#x; want %#x %d %d %#x", name,
				got.ExitCode, got.UID, got.GID, got.Flags&FlagFork, want.ExitCode, want.UID, want.GID, want.Flags)
		}
		if got.PPID != int32(os.Getpid()) {
			t.Errorf("%s: ppid %d, want %d", name, got.PPID, os.Getpid())
		}
		if now := time.Now().Unix(); got.Begin < began-1 || got.Begin > now+1 {
			t.Errorf("%s: began at %d, want %d..%d", name, got.Begin, began, now)
		}
		if name == "burn 250ms" && (got.CPU < 200*time.Millisecond || got.Elapsed < 240*time.Millisecond) {
			t.Errorf("%s: CPU %v, elapsed %v", name, got.CPU, got.Elapsed)
		}
		if c := got.Command(); c == "" || strings.ContainsRune(c, 0) {
			t.Errorf("%s: command %q", name, c)
		}
	}
	if *update && !t.Failed() {
		if err := os.WriteFile("testdata/bsd_v3.hex", []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func kernelName(t *testing.T) string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	return "Linux " + unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
}
