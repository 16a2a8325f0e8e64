// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
)

// roles are what spawned copies of the test binary do.
var roles = map[string]kerneltest.Role{
	"flood":       flood,
	"environment": environment,
	"ask":         ask,
	"family":      family,
}

// nobodyID is a user without any right.
const nobodyID = 65534

// asNobody spawns a role as an ordinary user.
func asNobody(t testing.TB, role string, args ...string) *kerneltest.Child {
	t.Helper()
	return kerneltest.SpawnAs(t, &syscall.Credential{Uid: nobodyID, Gid: nobodyID}, role, args...)
}

// flood NETWORK ADDRESS CONNECTIONS REQUEST: makes connections, sends the request on
// each, reads nothing, prints how many there are, and holds them until released.
func flood(args []string) int {
	n, _ := strconv.Atoi(args[2])
	var conns []net.Conn
	for range n {
		c, err := net.DialTimeout(args[0], args[1], 5*time.Second)
		if err != nil {
			break // refused, or the queue is full
		}
		c.SetWriteDeadline(time.Now().Add(5 * time.Second))
		io.WriteString(c, args[3]) // it may be closed already
		conns = append(conns, c)
	}
	fmt.Println(len(conns))
	io.Copy(io.Discard, os.Stdin)
	for _, c := range conns {
		c.Close()
	}
	return 0
}

// ask SOCKET TIMES METHOD PATH BODY: asks so often, one after the other, with %d in the
// body the number of the request, and prints how many were answered with success.
// @FILE is the body that a file has.
func ask(args []string) int {
	n, _ := strconv.Atoi(args[1])
	body := args[4]
	if name, ok := strings.CutPrefix(body, "@"); ok {
		text, err := os.ReadFile(name)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		body = string(text)
	}
	c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", args[0])
	}}}
	answered := 0
	for i := range n {
		r, _ := http.NewRequest(args[2], "http://elsad"+args[3], strings.NewReader(strings.Replace(body, "%d", strconv.Itoa(i), 1)))
		r.Header.Set("Content-Type", "application/json")
		resp, err := c.Do(r)
		if err != nil {
			continue
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode < 300 {
			answered++
		}
	}
	fmt.Println(answered)
	return 0
}

// family N: has N children that wait with it until released.
func family(args []string) int {
	n, _ := strconv.Atoi(args[0])
	r, w, err := os.Pipe()
	if err != nil {
		return 1
	}
	for range n {
		c := exec.Command("cat")
		c.Stdin = r
		if c.Start() != nil {
			return 1
		}
	}
	fmt.Println("all there")
	io.Copy(io.Discard, os.Stdin)
	w.Close()
	return 0
}

// environment BYTES: makes its own environment that large, all zeros, and waits.
func environment(args []string) int {
	size, _ := strconv.Atoi(args[0])
	m, err := unix.Mmap(-1, 0, size, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		fmt.Println("no:", err)
		return 1
	}
	if err := setEnvironment(uint64(uintptr(unsafe.Pointer(&m[0]))), uint64(size)); err != nil {
		fmt.Println("no:", err)
		return 1
	}
	fmt.Println("large")
	io.Copy(io.Discard, os.Stdin)
	return 0
}

// setEnvironment says where this process keeps its environment: prctl(2),
// PR_SET_MM_MAP.
func setEnvironment(at, size uint64) error {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest) // the first is field 3 of proc_pid_stat(5)
	field := func(n int) uint64 {
		v, _ := strconv.ParseUint(fields[n-3], 10, 64)
		return v
	}
	brk, _, _ := unix.Syscall(unix.SYS_BRK, 0, 0, 0)
	m := struct { // struct prctl_mm_map of include/uapi/linux/prctl.h
		startCode, endCode, startData, endData, startBrk, brk, startStack uint64
		argStart, argEnd, envStart, envEnd, auxv                          uint64
		auxvSize, exe                                                     uint32
	}{
		field(26), field(27), field(45), field(46), field(47), uint64(brk), field(28),
		field(48), field(49), at, at + size, 0, 0, ^uint32(0),
	}
	_, _, errno := unix.Syscall6(unix.SYS_PRCTL, unix.PR_SET_MM, unix.PR_SET_MM_MAP, uintptr(unsafe.Pointer(&m)), unsafe.Sizeof(m), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
