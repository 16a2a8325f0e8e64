// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// makeStateDir makes the state directory, or checks the one there is.
func makeStateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make state directory: %w", err)
	}
	return checkStateDir(dir)
}

// checkStateDir refuses a directory that others could fill: what lies in it is
// believed, and the kernel writes to it with all rights.
func checkStateDir(dir string) error {
	fi, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("use state directory: %w", err)
	}
	owner := int(fi.Sys().(*syscall.Stat_t).Uid)
	switch mode := fi.Mode(); {
	case mode.Type() == fs.ModeSymlink:
		to, _ := os.Readlink(dir)
		return fmt.Errorf("use state directory %s: it is a symbolic link; use --state-dir with where it leads, %s", dir, to)
	case !mode.IsDir():
		return fmt.Errorf("use state directory %s: it is not a directory; move it away or use another --state-dir", dir)
	case owner != os.Geteuid():
		return fmt.Errorf("use state directory %s: it belongs to uid %d and elsad runs as %d; chown it or use another --state-dir", dir, owner, os.Geteuid())
	case mode.Perm()&0o022 != 0:
		return fmt.Errorf("use state directory %s: others can write to it (mode %04o); run chmod go-w on it, once you trust what it holds", dir, mode.Perm())
	}
	return nil
}
