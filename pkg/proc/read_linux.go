// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// gone reports whether err is how a file of a process says that the process
// has ended: ENOENT on open, ESRCH on read.
func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH)
}

// noProcess is the error for a pid that no process has.
type noProcess struct{ threadOf uint64 }

func (e noProcess) Error() string {
	if e.threadOf != 0 {
		return fmt.Sprintf("no such process: it is a thread of process %d", e.threadOf)
	}
	return "no such process"
}

func (noProcess) Is(target error) bool { return target == fs.ErrNotExist }

func openDir(path string) (int, error) {
	return openAt(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_DIRECTORY)
}

func openAt(dir int, path string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, path, flags|unix.O_CLOEXEC, 0)
		if err == nil {
			return fd, nil
		}
		if err != unix.EINTR {
			return -1, &fs.PathError{Op: "open", Path: path, Err: err}
		}
	}
}

// readAt reads a small file below dir into *buf, which it grows as needed, and
// returns the part read. It does without os.File, whose book-keeping costs as
// much as the read.
func readAt(dir int, path string, buf *[]byte) ([]byte, error) {
	if len(*buf) == 0 {
		*buf = make([]byte, 4096)
	}
	fd, err := openAt(dir, path, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	for {
		n, err := ignoreEINTR(func() (int, error) { return unix.Pread(fd, *buf, 0) })
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: path, Err: err}
		}
		if n < len(*buf) {
			return (*buf)[:n], nil
		}
		// A user may be in 65536 groups, all listed in status.
		*buf = make([]byte, 4*len(*buf))
	}
}

func ignoreEINTR(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if err != unix.EINTR {
			return n, err
		}
	}
}

// numericEntries calls f for each name in the open directory dir that is a
// positive number.
func numericEntries(dir int, f func(int32)) error {
	buf := make([]byte, 8<<10)
	for {
		n, err := ignoreEINTR(func() (int, error) { return unix.Getdents(dir, buf) })
		if err != nil {
			return &fs.PathError{Op: "readdir", Path: "", Err: err}
		}
		if n == 0 {
			return nil
		}
		for rest := buf[:n]; len(rest) > 0; {
			name, tail, err := cutDirent(rest)
			if err != nil {
				return err
			}
			rest = tail
			if id, ok := parseUint(name); ok && id > 0 && id <= 1<<31-1 {
				f(int32(id))
			}
		}
	}
}

// cutDirent takes the first entry off what getdents64(2) returned: struct
// linux_dirent64, in native byte order. It returns the entry's name.
func cutDirent(b []byte) (name, rest []byte, err error) {
	const reclenAt, nameAt = 16, 19
	if len(b) < nameAt {
		return nil, nil, fmt.Errorf("read directory: %w: entry of %d bytes", ErrFormat, len(b))
	}
	size := int(binary.NativeEndian.Uint16(b[reclenAt:]))
	if size < nameAt || size > len(b) {
		return nil, nil, fmt.Errorf("read directory: %w: entry length %d of %d bytes", ErrFormat, size, len(b))
	}
	name = b[nameAt:size]
	if i := bytes.IndexByte(name, 0); i >= 0 {
		name = name[:i]
	}
	return name, b[size:], nil
}
