// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/peer"
)

// peerOf asks the kernel who is at the other end of c; members of admins, which other
// finds if /etc/group does not have it, are admins. The answer is that of the moment of connect(2): it cannot be forged, and includes the supplementary
// groups the process really had, as a file's permissions would see them.
func peerOf(c *net.UnixConn, admins *adminGroup, other func(string) (uint32, bool)) (Caller, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Caller{}, err
	}
	var (
		cred   *unix.Ucred
		groups []uint32
		optErr error
	)
	err = raw.Control(func(fd uintptr) {
		if cred, optErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); optErr == nil {
			groups, optErr = peer.Groups(int(fd))
		}
	})
	if err == nil {
		err = optErr
	}
	if err != nil {
		return Caller{}, fmt.Errorf("ask who connected: %w", err)
	}
	return Caller{UID: cred.Uid, GID: cred.Gid, PID: cred.Pid, Nested: nested(cred.Pid), Admin: admins.is(cred.Uid, cred.Gid, groups, other)}, nil
}

// nested reports whether a process is in another pid namespace than ours, by
// NSpid in /proc/PID/status (proc_pid_status(5)): its pids in all namespaces from
// that of the mounted /proc inwards. What cannot be read may be nested.
func nested(pid int32) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return true
	}
	_, ids, ok := bytes.Cut(status, []byte("\nNSpid:"))
	ids, _, _ = bytes.Cut(ids, []byte("\n"))
	return !ok || len(bytes.Fields(ids)) != 1
}

// adminGroup finds the gid of a unix group by name and remembers it briefly,
// so that a group made later is found and a request costs no look-up.
type adminGroup struct {
	name string

	mu    sync.Mutex
	until time.Time
	gid   uint32
	known bool
}

// is reports whether a user is root or in the group.
func (a *adminGroup) is(uid, gid uint32, groups []uint32, other func(string) (uint32, bool)) bool {
	if uid == 0 {
		return true
	}
	a.mu.Lock()
	if now := time.Now(); now.After(a.until) {
		a.known = false
		if g, err := user.LookupGroup(a.name); err == nil {
			if n, err := strconv.ParseUint(g.Gid, 10, 32); err == nil {
				a.gid, a.known = uint32(n), true
			}
		} else if other != nil {
			a.gid, a.known = other(a.name)
		}
		a.until = now.Add(10 * time.Second)
	}
	member := a.known && (gid == a.gid || slices.Contains(groups, a.gid))
	a.mu.Unlock()
	return member
}
