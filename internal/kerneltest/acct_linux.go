// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// LockAccounting makes t the only test on the machine that switches acct(2):
// it waits for the others by a lock on a file in [os.TempDir], and switches
// accounting off and gives the lock back when t ends. It fails t at once when
// another program's accounting seems to be on; see foreignAccounting.
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
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			t.Fatalf("lock %s: %v", path, err)
		}
	}
	owner, err := foreignAccounting()
	if err != nil {
		t.Fatalf("look for foreign accounting: %v", err)
	}
	if owner != "" {
		t.Fatalf("accounting is on for %s; stop it before running tests that switch acct(2)", owner)
	}
	t.Cleanup(func() {
		// A null pointer switches off; an empty name would be ENOENT.
		if _, _, errno := unix.RawSyscall(unix.SYS_ACCT, 0, 0, 0); errno != 0 {
			t.Errorf("switch accounting off: %v", errno)
		}
	})
}

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

// foreignAccounting says in which of the usual files the kernel writes now. No
// call asks the kernel, so it lets a process end and sees which file grew;
// accounting to a file of unusual name goes unnoticed.
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
		if size > before[path] {
			grown = append(grown, path)
		}
	}
	slices.Sort(grown)
	return strings.Join(grown, ", "), nil
}

func sizes() map[string]int64 {
	m := make(map[string]int64)
	for _, pattern := range usualFiles {
		names, _ := filepath.Glob(pattern) // the patterns are well formed
		for _, name := range names {
			if fi, err := os.Stat(name); err == nil && fi.Mode().IsRegular() {
				m[name] = fi.Size()
			}
		}
	}
	return m
}
