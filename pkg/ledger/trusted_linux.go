// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// openTrusted opens a regular file to read that nobody but root and this user can
// write. It opens nothing else, as to open a device may do something.
func openTrusted(path string) (*os.File, error) {
	before, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if err := trusted(path, before); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	fi, err := file.Stat()
	if err == nil {
		err = trusted(path, fi)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// checkFollowed refuses a file in a directory where other users could put another
// in its place.
func checkFollowed(path string) error {
	dir := filepath.Dir(path)
	fi, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it may come
	}
	if err != nil {
		return err
	}
	uid := int(fi.Sys().(*syscall.Stat_t).Uid)
	switch mode := fi.Mode(); {
	case uid != 0 && uid != os.Geteuid():
		return fmt.Errorf("directory %s belongs to uid %d, who could put any file there; chown it to root", dir, uid)
	case mode.Perm()&0o002 != 0 && mode&fs.ModeSticky == 0:
		return fmt.Errorf("directory %s can be written by everyone (mode %04o); chmod o-w it", dir, mode.Perm())
	}
	return nil
}
