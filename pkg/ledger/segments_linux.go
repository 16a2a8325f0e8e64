// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// segmentDir is the directory of [Owned]: a file per segment, by number.
type segmentDir struct {
	name string
	root *os.Root
}

const segmentPattern = "[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9].acct"

func segmentName(number uint64) string { return fmt.Sprintf("%010d.acct", number) }

// openSegmentDir opens the directory, or makes it. Nobody else may be able to
// put files there: the kernel writes to them with all rights.
func openSegmentDir(name string) (segmentDir, error) {
	if err := os.Mkdir(name, 0o700); err != nil && !os.IsExist(err) {
		return segmentDir{}, err
	}
	fi, err := os.Lstat(name)
	if err != nil {
		return segmentDir{}, err
	}
	if !fi.IsDir() {
		return segmentDir{}, fmt.Errorf("%s is not a directory (a symbolic link will not do)", name)
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return segmentDir{}, err
	}
	now, err := root.Stat(".")
	if err == nil {
		if !os.SameFile(fi, now) {
			err = fmt.Errorf("%s was replaced while it was opened", name)
		} else {
			err = private(name, now)
		}
	}
	if err != nil {
		root.Close()
		return segmentDir{}, err
	}
	return segmentDir{name, root}, nil
}

// private makes sure that only this user can write to a file.
func private(name string, fi fs.FileInfo) error {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to another user than %d; change its owner or remove it", name, os.Geteuid())
	}
	if mode := fi.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("%s can be written by others (mode %04o); chmod go-w it", name, mode)
	}
	return nil
}

func (d segmentDir) path(number uint64) string { return filepath.Join(d.name, segmentName(number)) }

// list returns the numbers of the segments in ascending order. Files of other
// names are left alone.
func (d segmentDir) list() ([]uint64, error) {
	entries, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, e := range entries {
		name := e.Name()
		if ok, _ := filepath.Match(segmentPattern, name); !ok {
			continue
		}
		number, err := strconv.ParseUint(name[:10], 10, 64)
		if err != nil || number == 0 {
			continue
		}
		fi, err := d.root.Lstat(name)
		if err != nil {
			return nil, err
		}
		if !fi.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a regular file; remove it", d.path(number))
		}
		if err := private(d.path(number), fi); err != nil {
			return nil, err
		}
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	return numbers, nil
}

func (d segmentDir) create(number uint64) (*os.File, error) {
	f, err := d.root.OpenFile(segmentName(number), os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	return d.lasting(number, f), nil
}

// lasting opens a file again by the mounts of who started this process, and closes
// the old one; it returns that where it cannot. The kernel switches accounting off
// when the mount is gone that the file was opened by. A unit of systemd has mounts
// of its own, and they go with its last process, also when that crashed.
func (d segmentDir) lasting(number uint64, f *os.File) *os.File {
	path, err := filepath.Abs(d.path(number))
	if err != nil {
		return f
	}
	theirs, err := os.OpenFile(fmt.Sprintf("/proc/%d/root%s", os.Getppid(), path), os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return f
	}
	a, errA := f.Stat()
	b, errB := theirs.Stat()
	if errA != nil || errB != nil || !os.SameFile(a, b) {
		theirs.Close()
		return f
	}
	f.Close()
	return theirs
}

func (d segmentDir) open(number uint64) (*os.File, error) {
	return d.root.OpenFile(segmentName(number), os.O_RDONLY|unix.O_NOFOLLOW, 0)
}

func (d segmentDir) remove(number uint64) error { return d.root.Remove(segmentName(number)) }
