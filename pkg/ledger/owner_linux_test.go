// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"elsa/internal/kerneltest"
)

// TestKernelRunningIsRoots: a program is known to run if root runs it, and not if a
// user calls one by its name.
func TestKernelRunningIsRoots(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root)
	const name = "elsa-owner" // a command name has 15 bytes at most
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for d := dir; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		os.Chmod(d, 0o755)
	}
	for _, tt := range []struct {
		what  string
		uid   uint32
		owner int
		link  bool
		flags uintptr
		want  bool
	}{
		{"root's program, run by root", 0, 0, false, 0, true},
		{"root's program, run by a user", 47001, 0, false, 0, false},
		{"a user's program, run by root", 0, 47001, false, 0, false},
		{"a link to root's program", 0, 0, true, 0, false},
		{"root in a container", 0, 0, false, syscall.CLONE_NEWPID, false},
	} {
		path := filepath.Join(dir, name)
		os.Remove(path)
		if tt.link {
			err = os.Symlink(sleep, path)
		} else if err = os.WriteFile(path, program, 0o755); err == nil {
			err = os.Chown(path, tt.owner, -1)
		}
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(path, "600")
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: tt.uid, Gid: tt.uid}, Cloneflags: tt.flags}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kerneltest.Eventually(t, "the program runs", func() bool {
			b, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "comm"))
			return string(b) == name+"\n"
		})
		if got := running(name); got != tt.want {
			t.Errorf("%s: it runs: %v, want %v", tt.what, got, tt.want)
		}
		cmd.Process.Kill()
		cmd.Wait()
	}
}
