// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// FUSE is a file system in user space that this process may mount.
var FUSE = once("/dev/fuse", func() error {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
})

// Stuck is a file of a file system in user space that never ends a close(2): a
// process that executes a program with the file open waits for ever in the middle
// of that, and so does who reads its stat, io or environ.
type Stuck struct {
	// Path is where the file is.
	Path string

	fd int
	mu sync.Mutex
	// held are the requests that get no answer.
	held     []uint64
	released bool
}

// NewStuck mounts one. It ends with t. Call [Need] with [Root] and [FUSE] first.
func NewStuck(t testing.TB) *Stuck {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := unix.Mount("elsa-test", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd)); err != nil {
		t.Fatal(err)
	}
	s := &Stuck{Path: filepath.Join(dir, "file"), fd: fd}
	ended := make(chan struct{})
	go func() { defer close(ended); s.serve() }()
	t.Cleanup(func() {
		s.Release()
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		<-ended
		unix.Close(fd)
	})
	return s
}

// Spawn starts a process that executes a program with the file open, and so does not
// get to it before Release.
func (s *Stuck) Spawn(t testing.TB, program ...string) *Child {
	t.Helper()
	c := Spawn(t, "stuckexec", append([]string{s.Path}, program...)...)
	t.Cleanup(s.Release) // before c is waited for
	c.Line()
	return c
}

// Release lets all that wait go on, and from now on whoever comes.
func (s *Stuck) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.released = true
	for _, id := range s.held {
		s.answer(id, nil, nil)
	}
	s.held = nil
}

// Held counts those who wait.
func (s *Stuck) Held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.held)
}

// The requests of include/uapi/linux/fuse.h that come of opening and closing a file.
const (
	fuseLookup, fuseForget, fuseGetattr, fuseOpen = 1, 2, 3, 14
	fuseRelease, fuseFlush, fuseInit, fuseForgets = 18, 25, 26, 42
	fuseInterrupt                                 = 36
)

// serve answers the kernel until the file system is unmounted.
func (s *Stuck) serve() {
	buf := make([]byte, 1<<17)
	le := binary.NativeEndian
	for {
		n, err := unix.Read(s.fd, buf)
		if err == unix.EINTR || err == unix.ENOENT { // ENOENT: who asked is gone
			continue
		}
		if err != nil || n < 40 {
			return
		}
		id := le.Uint64(buf[8:]) // struct fuse_in_header
		switch le.Uint32(buf[4:]) {
		case fuseInit:
			out := make([]byte, 64) // struct fuse_init_out of 7.31
			le.PutUint32(out, 7)
			le.PutUint32(out[4:], 31)
			le.PutUint32(out[20:], 4096) // max_write
			s.answer(id, nil, out)
		case fuseLookup:
			out := make([]byte, 40) // struct fuse_entry_out
			le.PutUint64(out, 2)
			s.answer(id, nil, append(out, fuseAttr(2)...))
		case fuseGetattr:
			s.answer(id, nil, append(make([]byte, 16), fuseAttr(le.Uint64(buf[16:]))...))
		case fuseOpen:
			s.answer(id, nil, make([]byte, 16))
		case fuseRelease:
			s.answer(id, nil, nil)
		case fuseFlush:
			s.mu.Lock()
			if s.released {
				s.answer(id, nil, nil)
			} else {
				s.held = append(s.held, id)
			}
			s.mu.Unlock()
		case fuseForget, fuseForgets, fuseInterrupt: // want no answer
		default:
			s.answer(id, unix.ENOSYS, nil)
		}
	}
}

// fuseAttr is struct fuse_attr of the root, 1, or of the file.
func fuseAttr(inode uint64) []byte {
	a, mode := make([]byte, 88), uint32(unix.S_IFREG|0o644)
	if inode == 1 {
		mode = unix.S_IFDIR | 0o755
	}
	binary.NativeEndian.PutUint64(a, inode)
	binary.NativeEndian.PutUint32(a[60:], mode)
	binary.NativeEndian.PutUint32(a[64:], 1) // links
	return a
}

func (s *Stuck) answer(id uint64, errno error, out []byte) {
	b := make([]byte, 16, 16+len(out)) // struct fuse_out_header
	binary.NativeEndian.PutUint32(b, uint32(16+len(out)))
	if e, ok := errno.(unix.Errno); ok {
		binary.NativeEndian.PutUint32(b[4:], uint32(-int32(e)))
	}
	binary.NativeEndian.PutUint64(b[8:], id)
	unix.Write(s.fd, append(b, out...)) // who asked may be gone
}

// stuckExec is a role: execute the program of args[1:] with the file
// args[0] open until then, a [Stuck] one.
func stuckExec(args []string) int {
	if _, err := unix.Open(args[0], unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("executing")
	os.Unsetenv(roleVar)
	unix.Exec(args[1], args[1:], os.Environ())
	return 1
}
