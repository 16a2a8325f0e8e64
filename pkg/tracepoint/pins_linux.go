// SPDX-License-Identifier: Apache-2.0

package tracepoint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Pins are a bpf file system of its own, in a directory, in which handles outlive the
// process. It takes CAP_SYS_ADMIN. The kernel goes on running the programs of a
// process that was killed until they are taken over or removed.
type Pins string

// Keep mounts the file system and pins the handles in it, in place of any that are
// there. The handles stay the caller's.
func (p Pins) Keep(h Handles) error {
	if err := p.Remove(); err != nil {
		return err
	}
	err := os.MkdirAll(string(p), 0o700)
	if err == nil {
		err = unix.Mount("bpf", string(p), "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700")
	}
	if err == nil { // no other mount namespace gets a copy, which would keep it alive
		err = unix.Mount("", string(p), "", unix.MS_PRIVATE, "")
	}
	for name, fd := range h {
		if err == nil {
			_, err = object(unix.BPF_OBJ_PIN, filepath.Join(string(p), name), fd)
		}
	}
	if err != nil {
		return errors.Join(fmt.Errorf("pin bpf programs in %s: %w", p, err), p.Remove())
	}
	return nil
}

// Kept returns new descriptors of what is pinned, for the caller to close; none if
// nothing is.
func (p Pins) Kept() (Handles, error) {
	if !p.mounted() {
		return nil, nil
	}
	entries, err := os.ReadDir(string(p))
	if err != nil {
		return nil, fmt.Errorf("read pinned bpf programs: %w", err)
	}
	h := Handles{}
	for _, e := range entries {
		if strings.Contains(e.Name(), ".") {
			continue // the kernel's own
		}
		fd, err := object(unix.BPF_OBJ_GET, filepath.Join(string(p), e.Name()), 0)
		if err != nil {
			h.Close()
			return nil, fmt.Errorf("open pinned %s: %w", e.Name(), err)
		}
		h[e.Name()] = fd
	}
	return h, nil
}

// Remove unpins all and unmounts the file system.
func (p Pins) Remove() error {
	for p.mounted() {
		if err := unix.Unmount(string(p), unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unpin bpf programs in %s: %w", p, err)
		}
	}
	if err := os.Remove(string(p)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("unpin bpf programs: %w", err)
	}
	return nil
}

func (p Pins) mounted() bool {
	var fs unix.Statfs_t
	return unix.Statfs(string(p), &fs) == nil && fs.Type == unix.BPF_FS_MAGIC
}

// object is BPF_OBJ_PIN or BPF_OBJ_GET of bpf(2).
func object(cmd uintptr, path string, fd int) (int, error) {
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		return -1, err
	}
	attr := struct {
		path  uint64
		fd    uint32
		flags uint32
	}{uint64(uintptr(unsafe.Pointer(name))), uint32(fd), 0}
	got, _, errno := unix.Syscall(unix.SYS_BPF, cmd, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(name)
	if errno != 0 {
		return -1, errno
	}
	return int(got), nil
}
