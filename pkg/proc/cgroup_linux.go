// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Membership is a control group that a process is in, a line of /proc/PID/cgroup: see
// cgroups(7).
type Membership struct {
	Hierarchy   string // its number, "0" for the unified one
	Controllers string
	Path        string // from the root of the hierarchy
}

// Memberships reads the text of /proc/PID/cgroup. Other lines than it should have are
// passed over.
func Memberships(text string) iter.Seq[Membership] {
	return func(yield func(Membership) bool) {
		for line := range strings.Lines(text) {
			f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
			if len(f) == 3 && !yield(Membership{f[0], f[1], f[2]}) {
				return
			}
		}
	}
}

// Cgroup2 returns where the unified hierarchy of control groups is mounted.
func Cgroup2() (string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("find control groups: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		// 36 35 98:0 / /mnt rw,noatime - ext3 /dev/root rw: see proc_pid_mountinfo(5)
		mount, kind, _ := strings.Cut(line, " - ")
		if f := strings.Fields(mount); len(f) > 4 && strings.HasPrefix(kind, "cgroup2 ") {
			return f[4], nil
		}
	}
	return "", errors.New("find control groups: no cgroup2 is mounted")
}

// Cgroups finds control groups of the unified hierarchy by their ids, as BPF
// programs tell them, and keeps the paths of the last some thousand. It is for one
// goroutine.
type Cgroups struct {
	mount string
	root  int // of the mount; negative if there is none
	paths map[uint64]string
}

// OpenCgroups returns a finder. Where no unified hierarchy is mounted it finds
// nothing. It keeps one descriptor open for the life of the program.
func OpenCgroups() *Cgroups {
	c := &Cgroups{root: -1, paths: map[uint64]string{}}
	mount, err := Cgroup2()
	if err != nil {
		return c
	}
	if fd, err := unix.Open(mount, unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
		c.mount, c.root = mount, fd
	}
	return c
}

// maxCgroups bounds the paths that are kept.
const maxCgroups = 1 << 12

// Path returns the path of a control group from the root of the hierarchy, "/" for
// the root itself. ok is false if it cannot be found: it is gone, or the capability
// CAP_DAC_READ_SEARCH is missing.
func (c *Cgroups) Path(id uint64) (path string, ok bool) {
	if c.root < 0 {
		return "", false
	}
	if path, ok = c.paths[id]; ok {
		return path, true
	}
	// The id is the file handle: FILEID_KERNFS of include/linux/exportfs.h.
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], id)
	fd, err := unix.OpenByHandleAt(c.root, unix.NewFileHandle(0xfe, b[:]), unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return "", false
	}
	defer unix.Close(fd)
	full, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	path, under := strings.CutPrefix(full, strings.TrimSuffix(c.mount, "/"))
	if err != nil || !under || strings.HasSuffix(path, " (deleted)") {
		return "", false
	}
	if path == "" {
		path = "/"
	}
	if len(c.paths) >= maxCgroups {
		clear(c.paths)
	}
	c.paths[id] = path
	return path, true
}
