// SPDX-License-Identifier: Apache-2.0

//go:build vm

package suite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// The numbers of the fork connector, include/uapi/linux/connector.h as patched.
const (
	idxFork   = 0xfeed
	valFork   = 0xbeef
	groupFork = 12
)

// event is one message of the fork connector.
type event struct {
	seq           uint32
	forker, child int
}

// listener is a socket that joined the fork connector's group. The kernel
// queues a message before clone(2) returns, so whatever was forked before drain
// was called is either in its result or lost.
type listener struct {
	t  testing.TB
	fd int
}

func listen(t testing.TB, bufSize int) *listener {
	t.Helper()
	fd, err := join(groupFork)
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{t, fd}
	t.Cleanup(l.close)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bufSize); err != nil {
		t.Fatal(err)
	}
	return l
}

// close may be called more than once.
func (l *listener) close() {
	if l.fd >= 0 {
		unix.Close(l.fd)
		l.fd = -1
	}
}

// join opens a connector socket and joins a group, by number.
func join(group int) (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_CONNECTOR)
	if err != nil {
		return -1, err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("join group %d: %w", group, err)
	}
	return fd, nil
}

// drain returns all that is queued, in order. An overrun is not an error.
func (l *listener) drain() []event {
	l.t.Helper()
	var events []event
	for {
		ev, ok := l.next()
		if !ok {
			return events
		}
		events = append(events, ev)
	}
}

// next returns the next queued event and false when there is none.
func (l *listener) next() (event, bool) {
	l.t.Helper()
	var buf [256]byte
	for {
		n, from, err := unix.Recvfrom(l.fd, buf[:], 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return event{}, false
		case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			l.t.Fatal(err)
		}
		sa, ok := from.(*unix.SockaddrNetlink)
		if !ok || sa.Pid != 0 || sa.Groups != 1<<(groupFork-1) {
			l.t.Fatalf("message from %+v, want the kernel, group %d", from, groupFork)
		}
		ev, err := parse(buf[:n])
		if err != nil {
			l.t.Fatalf("% x: %v", buf[:n], err)
		}
		return ev, true
	}
}

// parse checks every byte of a datagram: netlink header, connector header, the
// text and its NUL, zeros up to the next multiple of four.
func parse(b []byte) (event, error) {
	le := binary.LittleEndian
	if len(b) < 36+4 {
		return event{}, errors.New("too short")
	}
	seq, n := le.Uint32(b[24:]), int(le.Uint16(b[32:]))
	for _, f := range []struct {
		what      string
		got, want uint32
	}{
		{"nlmsg_len", le.Uint32(b[0:]), uint32(36 + n)},
		{"nlmsg_type", uint32(le.Uint16(b[4:])), unix.NLMSG_DONE},
		{"nlmsg_flags", uint32(le.Uint16(b[6:])), 0},
		{"nlmsg_seq", le.Uint32(b[8:]), seq},
		{"nlmsg_pid", le.Uint32(b[12:]), 0},
		{"idx", le.Uint32(b[16:]), idxFork},
		{"val", le.Uint32(b[20:]), valFork},
		{"ack", le.Uint32(b[28:]), 0},
		{"flags", uint32(le.Uint16(b[34:])), 0},
		{"datagram length", uint32(len(b)), uint32(36+n+3) &^ 3},
	} {
		if f.got != f.want {
			return event{}, fmt.Errorf("%s is %d, want %d", f.what, f.got, f.want)
		}
	}
	text, pad := string(b[36:36+n-1]), b[36+n-1:]
	for _, c := range pad {
		if c != 0 {
			return event{}, fmt.Errorf("%q is not followed by zeros", text)
		}
	}
	ev := event{seq: seq}
	if _, err := fmt.Sscanf(text, "%d %d", &ev.forker, &ev.child); err != nil {
		return event{}, fmt.Errorf("%q: %w", text, err)
	}
	if want := fmt.Sprintf("%d %d", ev.forker, ev.child); text != want {
		return event{}, fmt.Errorf("text %q, want %q", text, want)
	}
	return ev, nil
}

// lost counts the numbers missing between consecutive events, and fails the
// test on a number that repeats or goes back.
func lost(t testing.TB, events []event) int {
	t.Helper()
	sum := 0
	for i := 1; i < len(events); i++ {
		step := int32(events[i].seq - events[i-1].seq)
		if step < 1 {
			t.Fatalf("number %d after %d", events[i].seq, events[i-1].seq)
		}
		sum += int(step) - 1
	}
	return sum
}
