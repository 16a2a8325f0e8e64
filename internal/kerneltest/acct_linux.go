// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// LockAccounting makes t the only test on the machine that switches acct(2):
// it waits for the others by a lock on a file in [os.TempDir], and switches
// accounting off and gives the lock back when t ends. What killed tests left
// changed on the machine is put back first (see [Sysctl]). Where another program's
// accounting is on it leaves that alone and skips t, as [Need] does.
//
// Call [Need] with [Root] and [BSDAcct] first.
func LockAccounting(t testing.TB) {
	t.Helper()
	path := filepath.Join(os.TempDir(), "elsa-acct.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() }) // gives the lock back; runs last
	began := time.Now()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			t.Fatalf("lock %s: %v", path, err)
		}
	}
	if waited := time.Since(began); waited > time.Second {
		t.Logf("waited %v for other tests that switch accounting", waited.Round(time.Second))
	}
	undoLeft(t)
	Need(t, ownAccounting)
	t.Cleanup(func() {
		// A null pointer switches off; an empty name would be ENOENT.
		if _, _, errno := unix.RawSyscall(unix.SYS_ACCT, 0, 0, 0); errno != 0 {
			t.Errorf("switch accounting off: %v", errno)
		}
	})
}

// ownAccounting is accounting that no other program uses now.
var ownAccounting = Requirement{Name: "accounting for itself", Probe: func() error {
	owner, err := foreignAccounting()
	if err == nil && owner != "" {
		err = fmt.Errorf("it is on for %s; stop the service that uses it", owner)
	}
	return err
}}

// usualFiles is where the known tools keep the file they switch accounting to.
var usualFiles = []string{
	"/var/log/account/pacct",    // Debian acct
	"/var/account/pacct",        // psacct
	"/var/log/pacct",            // csh heritage
	"/run/pacct_source",         // atopacctd
	"/var/cache/atop.d/*",       // atop
	"/tmp/atop.d/*",             // atop
	"/var/lib/elsa/pacct/*",     // elsad
	"/var/spool/acct/*/pacct*",  // CSA
	"/var/log/account/pacct.*",  // dated files
	"/var/account/pacct.*",      // dated files
	"/var/log/process_account*", // hand-made
}

// foreignAccounting says to which file the kernel writes now, "" for none. No
// call asks the kernel, so it lets a process end and sees which file grew: of
// the usual ones, and of those that any program has open and that have "acct" in
// their name. Accounting to another file that nobody reads goes unnoticed.
func foreignAccounting() (string, error) {
	before := sizes()
	if len(before) == 0 {
		return "", nil
	}
	if _, err := Fork(); err != nil {
		return "", err
	}
	var grown []string
	for path, size := range sizes() {
		if was, ok := before[path]; ok && size > was {
			grown = append(grown, path)
		}
	}
	slices.Sort(grown)
	return strings.Join(grown, ", "), nil
}

// sizes returns the sizes of the files the kernel may write to, by path.
func sizes() map[string]int64 {
	m := make(map[string]int64)
	add := func(path, name string) {
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() {
			m[name] = fi.Size()
		}
	}
	for _, pattern := range usualFiles {
		names, _ := filepath.Glob(pattern) // the patterns are well formed
		for _, name := range names {
			add(name, name)
		}
	}
	open, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range open {
		// Through the descriptor, also when it is in another mount namespace.
		if name, err := os.Readlink(fd); err == nil && strings.Contains(name, "acct") {
			add(fd, name)
		}
	}
	return m
}
