// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"elsa/internal/descriptors"
	"elsa/internal/tally"
)

// Bounds on connections, so that no user can keep others out. Root has none.
const (
	maxConnsPerUser = 64
	maxConns        = 512
)

// Listener is the control socket. It knows who connects, and bounds how many
// connections a user may hold.
type Listener struct {
	*net.UnixListener
	// Refused counts what is refused; nil counts nothing. Set it before Serve.
	Refused *tally.Shared
	// UnixGroup finds unix groups that /etc/group does not have, without waiting; nil
	// for none. Set it before Serve.
	UnixGroup func(name string) (gid uint32, ok bool)

	admins   *adminGroup
	maxUsers int // connections of users

	mu    sync.Mutex
	users map[uint32]int // connections held, by uid; root not counted
	total int
}

// Listen makes the control socket at path, open to every local user: who may
// do what is decided by the caller's uid. Missing directories are made, with
// mode 0755. A socket that a dead service left is replaced; one that answers,
// one of another user, and anything that is not a socket is refused, as is a
// directory that another user could swap under the service. Close removes the
// socket.
func Listen(path string) (*Listener, error) {
	l, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("listen on control socket %s: %w", path, err)
	}
	return l, nil
}

func listen(path string) (*Listener, error) {
	dir := filepath.Dir(path)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		// Users must get through whatever the umask is.
		if err := os.Chmod(dir, 0o755); err != nil {
			return nil, err
		}
	}
	if err := checkDir(dir); err != nil {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	u, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		if errors.Is(err, syscall.EINVAL) {
			return nil, fmt.Errorf("%w (a socket's path may be at most 107 bytes; choose another --socket)", err)
		}
		return nil, err
	}
	if err := os.Chmod(path, 0o666); err != nil {
		u.Close()
		return nil, err
	}
	return &Listener{UnixListener: u, maxUsers: descriptors.Share(maxConns), admins: &adminGroup{name: AdminGroup}, users: map[uint32]int{}}, nil
}

// ours reports whether fi belongs to root or to us.
func ours(fi fs.FileInfo) bool {
	uid := fi.Sys().(*syscall.Stat_t).Uid
	return uid == 0 || int(uid) == os.Geteuid()
}

func checkDir(dir string) error {
	fi, err := os.Lstat(dir)
	switch {
	case err != nil:
		return err
	case !fi.IsDir():
		return fmt.Errorf("%s is not a directory but %s; choose another --socket", dir, kind(fi))
	case !ours(fi):
		return fmt.Errorf("directory %s belongs to another user; choose another --socket", dir)
	case fi.Mode()&0o002 != 0 && fi.Mode()&fs.ModeSticky == 0:
		return fmt.Errorf("directory %s is writable by everyone; run chmod o-w on it or choose another --socket", dir)
	}
	return nil
}

// removeStale removes the socket of a dead service at path.
func removeStale(path string) error {
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case fi.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("there is %s already; remove it or choose another --socket", kind(fi))
	case !ours(fi):
		return errors.New("there is a socket of another user already; remove it or choose another --socket")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		c.Close()
		return errors.New("another elsad answers there; stop it or choose another --socket")
	case errors.Is(err, syscall.ECONNREFUSED): // Nobody listens.
		return os.Remove(path)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return fmt.Errorf("is another elsad there? %w", err)
}

func kind(fi fs.FileInfo) string {
	switch fi.Mode().Type() {
	case 0:
		return "a file"
	case fs.ModeDir:
		return "a directory"
	case fs.ModeSymlink:
		return "a symbolic link"
	}
	return "something that is no socket"
}

// peerConn is a connection and who made it.
type peerConn struct {
	net.Conn
	caller Caller
	once   sync.Once
	done   func()
}

func (c *peerConn) Close() error {
	c.once.Do(c.done)
	return c.Conn.Close()
}

// refusal is sent to a connection over the bound; the client need not have
// sent anything yet.
const refusal = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nConnection: close\r\n\r\n" +
	`{"status":503,"title":"Service Unavailable","detail":"too many connections; close some and try again"}` + "\n"

// Accept waits for the next connection within the bounds. It closes the ones
// over them.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		caller, err := peerOf(c, l.admins, l.UnixGroup)
		if err != nil {
			c.Close()
			continue
		}
		if !l.admit(caller.UID) {
			l.Refused.Add(tally.Connections)
			c.SetWriteDeadline(time.Now().Add(time.Millisecond))
			c.Write([]byte(refusal))
			c.Close()
			continue
		}
		return &peerConn{Conn: c, caller: caller, done: func() { l.leave(caller.UID) }}, nil
	}
}

func (l *Listener) admit(uid uint32) bool {
	if uid == 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= l.maxUsers || l.users[uid] >= maxConnsPerUser {
		return false
	}
	l.total++
	l.users[uid]++
	return true
}

func (l *Listener) leave(uid uint32) {
	if uid == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.users[uid]--; l.users[uid] == 0 {
		delete(l.users, uid)
	}
}
