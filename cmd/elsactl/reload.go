// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// likeFile gives f the mode and owner of the file at path; 0644 if there is none.
func likeFile(f *os.File, path string) error {
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f.Chmod(0o644)
	}
	if err != nil {
		return err
	}
	if err := chownLike(f, fi); err != nil {
		return err
	}
	return f.Chmod(fi.Mode().Perm())
}

// chownLike gives f the owner of another file.
func chownLike(f *os.File, other fs.FileInfo) error {
	s := other.Sys().(*syscall.Stat_t)
	return f.Chown(int(s.Uid), int(s.Gid))
}

// reload has the elsad behind the control socket read its configuration file again, if that is the one
// at path. done is false if it is not, or none answers.
func (c *ctl) reload(path string) (done bool, err error) {
	conn, err := net.Dial("unix", c.socket)
	if err != nil {
		return false, nil // the file is read at the next start
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return false, err
	}
	var peer *unix.Ucred
	var optErr error
	if err := raw.Control(func(fd uintptr) { peer, optErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return false, err
	}
	if optErr != nil || peer.Pid <= 0 {
		return false, optErr
	}
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", peer.Pid))
	if err != nil || !readsConfig(strings.Split(string(args), "\x00"), path) {
		return false, nil
	}
	// The connection is still there: the process that listened has not ended since.
	if err := unix.Kill(int(peer.Pid), unix.SIGHUP); err != nil {
		return false, fmt.Errorf("have elsad read the configuration: %w", err)
	}
	return true, nil
}

// readsConfig tells whether the arguments of an elsad name a configuration file.
func readsConfig(args []string, path string) bool {
	last := ""
	for i, a := range args {
		if value, found := strings.CutPrefix(a, "--config="); found {
			last = value
		} else if a == "--config" && i+1 < len(args) {
			last = args[i+1]
		}
	}
	return last != "" && sameFile(last, path)
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}
