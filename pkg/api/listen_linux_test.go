// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
)

func TestListenModes(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	dir := filepath.Join(t.TempDir(), "run", "elsa")
	path := filepath.Join(dir, "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{dir: os.ModeDir | 0o755, path: os.ModeSocket | 0o666} {
		if fi, err := os.Lstat(name); err != nil || fi.Mode() != want {
			t.Errorf("%s: %v, %v; want mode %v", name, fi.Mode(), err, want)
		}
	}
	l.Close()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("close left the socket: %v", err)
	}
}

// dead leaves the socket of a service that was killed.
func dead(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

// busy leaves a live socket that takes no more connections for now.
func busy(t *testing.T, path string) {
	t.Helper()
	socket := func() int {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	addr := &unix.SockaddrUnix{Name: path}
	fd := socket()
	if err := unix.Bind(fd, addr); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for {
		if err := unix.Connect(socket(), addr); err == unix.EAGAIN {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestListenOver(t *testing.T) {
	for _, tc := range []struct {
		name  string
		there func(t *testing.T, path string)
		root  bool
		err   string // "" means it is replaced
	}{
		{name: "nothing", there: func(*testing.T, string) {}},
		{name: "dead socket", there: dead},
		{name: "live socket", err: "another elsad answers there", there: func(t *testing.T, path string) {
			l, err := Listen(path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}},
		{name: "socket that is too busy to answer", err: "is another elsad there?", there: busy},
		{name: "file", err: "there is a file already", there: func(t *testing.T, path string) {
			os.WriteFile(path, []byte("precious"), 0o600)
		}},
		{name: "directory", err: "there is a directory already", there: func(t *testing.T, path string) {
			os.Mkdir(path, 0o755)
		}},
		{name: "link to a dead socket", err: "there is a symbolic link already", there: func(t *testing.T, path string) {
			dead(t, path+"2")
			os.Symlink(path+"2", path)
		}},
		{name: "dead socket of another user", root: true, err: "socket of another user", there: func(t *testing.T, path string) {
			dead(t, path)
			if err := os.Chown(path, 1234, 1234); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "directory of another user", root: true, err: "belongs to another user", there: func(t *testing.T, path string) {
			if err := os.Chown(filepath.Dir(path), 1234, 1234); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "directory open to all", err: "writable by everyone", there: func(t *testing.T, path string) {
			os.Chmod(filepath.Dir(path), 0o777)
		}},
		{name: "sticky directory open to all", there: func(t *testing.T, path string) {
			os.Chmod(filepath.Dir(path), 0o777|os.ModeSticky)
		}},
		{name: "linked directory", err: "not a directory but a symbolic link", there: func(t *testing.T, path string) {
			dir := filepath.Dir(path)
			os.Rename(dir, dir+"2")
			os.Symlink(dir+"2", dir)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.root {
				kerneltest.Need(t, kerneltest.Root)
			}
			dir := filepath.Join(t.TempDir(), "d")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "s")
			tc.there(t, path)
			before, _ := os.Lstat(path)
			l, err := Listen(path)
			if err == nil {
				defer l.Close()
			}
			if tc.err == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.err) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want it to name %s and say %q", err, path, tc.err)
			}
			// What was refused is left as it was.
			if after, _ := os.Lstat(path); before != nil && !os.SameFile(before, after) {
				t.Errorf("%v became %v", before, after)
			}
		})
	}
}

func TestListenLongPath(t *testing.T) {
	_, err := Listen(filepath.Join(t.TempDir(), strings.Repeat("x", 200)))
	if err == nil || !strings.Contains(err.Error(), "at most 107 bytes") {
		t.Errorf("error %v", err)
	}
}
