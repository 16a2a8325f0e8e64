// SPDX-License-Identifier: Apache-2.0

package acct

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
	return d.root.OpenFile(segmentName(number), os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
}

func (d segmentDir) open(number uint64) (*os.File, error) {
	return d.root.OpenFile(segmentName(number), os.O_RDONLY|unix.O_NOFOLLOW, 0)
}

func (d segmentDir) remove(number uint64) error { return d.root.Remove(segmentName(number)) }
