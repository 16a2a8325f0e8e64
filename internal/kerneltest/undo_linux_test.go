// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestKernelUndo: what a test changed on the machine is put back when the test is
// killed, and when everything that ran then is.
func TestKernelUndo(t *testing.T) {
	const sysctl = "/proc/sys/kernel/acct"
	dir := os.Getenv("ELSA_TEST_UNDO")
	if dir != "" { // the test that is killed; the one below holds the lock
		Sysctl(t, "kernel/acct", "5 3 7\n")
		Mount(t, "elsa-test", dir, "tmpfs", "")
		unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	}
	Need(t, Root, InitNamespaces, BSDAcct)
	LockAccounting(t)
	read := func(path string) string {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	was, dir := read(sysctl), t.TempDir()
	mounted := func() bool { return strings.Contains(read("/proc/self/mounts"), dir) }

	cmd := exec.Command("/proc/self/exe", "-test.run=^TestKernelUndo$")
	cmd.Env = append(os.Environ(), "ELSA_TEST_UNDO="+dir)
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("the test that is killed: %v", err)
	}
	Eventually(t, "the killed test's changes are put back", func() bool {
		return read(sysctl) == was && !mounted()
	})

	// Its keepers are killed too: all that is left is what it wrote down.
	t.Cleanup(func() { os.WriteFile(sysctl, []byte(was), 0) })
	if err := os.WriteFile(sysctl, []byte("5 3 7\n"), 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("elsa-test", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if left := read(undoFile); strings.Count(left, "\n") != 2 {
		t.Errorf("the killed test left %q, want two lines", left)
	}
	undoLeft(t)
	if got := read(sysctl); got != was || mounted() {
		t.Errorf("after undoLeft: %q, mounted %v; want %q", got, mounted(), was)
	}
	if _, err := os.Stat(undoFile); !os.IsNotExist(err) {
		t.Errorf("%s after undoLeft: %v", undoFile, err)
	}
}
