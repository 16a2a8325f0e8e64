// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
	"elsa/pkg/client"
)

// becomeUser changes the credentials of this thread alone, which is why it
// makes the system calls itself: the syscall package changes all threads.
func becomeUser(uid, gid int, groups []uint32) unix.Errno {
	var list unsafe.Pointer
	if len(groups) > 0 {
		list = unsafe.Pointer(&groups[0])
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(list), 0); e != 0 {
		return e
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)); e != 0 {
		return e
	}
	_, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid))
	return e
}

// asUser runs f on a thread with another uid, gid and supplementary groups.
// The thread ends with it.
func asUser(t *testing.T, uid, gid int, groups []uint32, f func()) {
	t.Helper()
	done := make(chan unix.Errno, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread must not be reused
		errno := becomeUser(uid, gid, groups)
		if errno == 0 {
			f()
		}
		done <- errno
	}()
	if errno := <-done; errno != 0 {
		t.Fatalf("become uid %d: %v", uid, errno)
	}
}

// reachable lets other users through the directories of a test.
func reachable(t *testing.T, socket string) {
	t.Helper()
	for dir := filepath.Dir(socket); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKernelCaller(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root)
	f := newFake()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	// The group "daemon" stands in for "elsa", which may not exist.
	const daemon = 1
	l.admins.name = "daemon"
	serveOn(t, l, f)
	reachable(t, socket)

	manyGroups := make([]uint32, 300) // more than the first try of peer.Groups has room for
	for i := range manyGroups {
		manyGroups[i] = uint32(5000 + i)
	}
	for i, tc := range []struct {
		name     string
		uid, gid int
		groups   []uint32
		admin    bool
	}{
		{"root", 0, 0, nil, true},
		{"nobody special", 1234, 1234, nil, false},
		{"other groups", 1234, 1234, []uint32{4, 5000}, false},
		{"primary group", 1234, daemon, nil, true},
		{"supplementary group", 1234, 1234, []uint32{4, daemon}, true},
		{"one of many groups", 1234, 1234, append(manyGroups, daemon), true},
		{"many groups", 1234, 1234, manyGroups, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var err error
			asUser(t, tc.uid, tc.gid, tc.groups, func() {
				// connect(2) must happen on this thread: no pooled connection.
				var conn net.Conn
				if conn, err = net.Dial("unix", socket); err != nil {
					return
				}
				defer conn.Close()
				body := `{"name":"g` + string(rune('a'+i)) + `"}`
				req, _ := http.NewRequest("POST", "http://elsad/v1/groups", strings.NewReader(body))
				if err = req.Write(conn); err != nil {
					return
				}
				_, err = http.ReadResponse(bufio.NewReader(conn), req)
			})
			if err != nil {
				t.Fatal(err)
			}
			want := Caller{UID: uint32(tc.uid), GID: uint32(tc.gid), PID: int32(os.Getpid()), Admin: tc.admin}
			f.mu.Lock()
			got := f.caller
			f.mu.Unlock()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("caller (-want +got):\n%s", diff)
			}
		})
	}
}

// One user at the bound is told so, and does not keep out another.
func TestKernelConnectionBound(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root)
	socket, _ := serve(t, newFake())
	reachable(t, socket)
	dial := func(uid int) (c net.Conn) {
		asUser(t, uid, uid, nil, func() {
			var err error
			if c, err = net.Dial("unix", socket); err != nil {
				t.Error(err)
			}
		})
		if c == nil {
			t.FailNow()
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(10 * time.Second))
		return c
	}
	ask := func(c net.Conn) (*http.Response, error) {
		req, _ := http.NewRequest("GET", "http://elsad/v1/groups", nil)
		if err := req.Write(c); err != nil {
			return nil, err
		}
		return http.ReadResponse(bufio.NewReader(c), req)
	}
	var held []net.Conn
	for range maxConnsPerUser {
		held = append(held, dial(1234))
	}
	resp, err := http.ReadResponse(bufio.NewReader(dial(1234)), nil)
	if err != nil || resp.StatusCode != 503 {
		t.Fatalf("one more connection: %v, %v; want 503", resp, err)
	}
	var refusal Error
	if err := json.NewDecoder(resp.Body).Decode(&refusal); err != nil || !strings.Contains(refusal.Detail, "too many connections") {
		t.Errorf("refusal: %+v, %v", refusal, err)
	}
	for _, uid := range []int{1235, 0} {
		if resp, err := ask(dial(uid)); err != nil || resp.StatusCode != 200 {
			t.Errorf("uid %d meanwhile: %v, %v", uid, resp, err)
		}
	}
	if resp, err := ask(held[0]); err != nil || resp.StatusCode != 200 {
		t.Errorf("a connection within the bound: %v, %v", resp, err)
	}
	// A connection that ends makes room, as soon as the server has seen it.
	held[0].Close()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if resp, err := ask(dial(1234)); err == nil && resp.StatusCode == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no room after a connection ended")
		}
	}
}

// Five thousand connections at once by one user, each with half a request. Few
// are held, and root is served meanwhile.
func TestKernelConnectionFlood(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root)
	socket, _ := serve(t, newFake())
	reachable(t, socket)
	before := runtime.NumGoroutine()
	asUser(t, 1234, 1234, nil, func() {
		for range 5000 {
			c, err := net.Dial("unix", socket)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { c.Close() })
			io.WriteString(c, "GET /v1/groups HTTP/1.1\r\nX-") // and no more
		}
	})
	if n := runtime.NumGoroutine() - before; n > 4*maxConnsPerUser {
		t.Errorf("%d goroutines serve them", n)
	}
	c := client.New(socket)
	defer c.Close()
	if _, err := c.Groups(t.Context()); err != nil {
		t.Errorf("root meanwhile: %v", err)
	}
}
