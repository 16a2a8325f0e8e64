// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// undoScript puts back what a test changed, of which its arguments tell. A mount is
// taken away lazily: whoever still has a file open there must not keep the others.
const undoScript = `case $1 in
sysctl) printf %s "$3" >"$2" ;;
unmount) ! mountpoint -q "$2" || umount -l "$2" ;;
esac`

// undoFile names what tests that run now have changed on the machine, a line each:
// the arguments of undoScript. A test that is killed cleans up
// nothing, so the next one does it. /run lasts as long as what the kernel was told.
const undoFile = "/run/elsa-test.undo"

// Sysctl writes value to a file below /proc/sys, such as "kernel/acct", and puts
// back what it was when t ends: also when t's process is killed, and, if everything
// is, before the next test that calls [LockAccounting]. Call that first.
func Sysctl(t testing.TB, name, value string) {
	t.Helper()
	path := filepath.Join("/proc/sys", name)
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	undoAtEnd(t, "sysctl", path, strings.TrimSpace(string(was)))
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

// Mount mounts a file system on dir until t ends, as sure as a [Sysctl] ends.
func Mount(t testing.TB, source, dir, kind, data string) {
	t.Helper()
	Mounts(t, dir)
	if err := unix.Mount(source, dir, kind, 0, data); err != nil {
		t.Fatal(err)
	}
}

// Mounts says that something is going to be mounted on dir, which need not exist
// yet; what is still mounted there when t ends is unmounted, as sure as a [Sysctl]
// ends.
func Mounts(t testing.TB, dir string) {
	t.Helper()
	undoAtEnd(t, "unmount", dir)
}

// undoAtEnd runs undoScript when t ends or its process is killed.
func undoAtEnd(t testing.TB, args ...string) {
	t.Helper()
	line := strings.Join(args, " ") + "\n"
	if err := record(func(lines []string) []string { return append(lines, line) }); err != nil {
		t.Fatal(err)
	}
	// Its standard input ends with this process. A terminal's ^C is not for it.
	keeper := exec.Command("sh", append([]string{"-c", "read done && exit\n" + undoScript, "sh"}, args...)...)
	keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := keeper.StdinPipe()
	if err == nil {
		err = keeper.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := undo(line); err != nil {
			t.Error(err)
		}
		fmt.Fprintln(in, "done")
		keeper.Wait()
		if err := record(func(lines []string) []string {
			return slices.DeleteFunc(lines, func(l string) bool { return l == line })
		}); err != nil {
			t.Error(err)
		}
	})
}

// undoLeft undoes what killed tests left. The caller holds the accounting lock.
func undoLeft(t testing.TB) {
	t.Helper()
	var failed []error
	if err := record(func(lines []string) []string {
		for _, line := range slices.Backward(lines) {
			t.Log("a test that was killed left this to do: ", line)
			if err := undo(line); err != nil {
				failed = append(failed, err)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, err := range failed {
		t.Error(err)
	}
}

// undo does what a line of the undo file says.
func undo(line string) error {
	args := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3)
	out, err := exec.Command("sh", append([]string{"-c", undoScript, "sh"}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("undo %v: %w: %s", args, err, out)
	}
	return nil
}

// record changes the lines of the undo file.
func record(change func([]string) []string) error {
	b, err := os.ReadFile(undoFile)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	lines := change(slices.Collect(strings.Lines(string(b))))
	if len(lines) == 0 {
		if err := os.Remove(undoFile); err != nil && !os.IsNotExist(err) {
			return err
		}
		return nil
	}
	return os.WriteFile(undoFile, []byte(strings.Join(lines, "")), 0o600)
}
