// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"os"

	"golang.org/x/sys/unix"
)

// fileStat is what a ledger asks of an open file.
type fileStat struct {
	dev, ino uint64
	size     int64
}

func statFile(f *os.File) (fileStat, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fileStat{}, &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return fileStat{uint64(st.Dev), uint64(st.Ino), st.Size}, nil
}

// position is that of an offset in the file, which is a ledger's segment.
func (s fileStat) position(segment uint64, offset int64) Position {
	return Position{Segment: segment, Offset: offset, Device: s.dev, Inode: s.ino}
}
