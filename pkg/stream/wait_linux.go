// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Waiter puts a goroutine to sleep until a descriptor has something to read, a
// time is over, or Wake is called. One goroutine sleeps; Wake and Close are safe
// from any.
//
// Put into Go's poller, a descriptor wakes a thread for each message, which costs
// ten times what reading the message does; asleep in a system call, a thread
// keeps the runtime's monitor awake, which looks for it every 20 µs. So the
// descriptor is in an epoll instance of its own, armed for one event and only
// while Readable sleeps, and that instance is in Go's poller.
type Waiter struct {
	fd    int
	epoll *os.File
	raw   syscall.RawConn
	event [1]unix.EpollEvent // that ended the last sleep
	// Made once, so that no sleep allocates: arm asks for what is in want, look
	// takes an event, wait takes none.
	arm   func(uintptr)
	look  func(uintptr) bool
	wait  func(uintptr) bool
	want  unix.EpollEvent
	err   error // of arm
	woken atomic.Bool
	looks atomic.Uint64 // one as each sleep begins, and one for each wake-up by the poller
}

// NewWaiter returns a Waiter for fd, which stays the caller's and must be open
// until Close.
func NewWaiter(fd int) (*Waiter, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make epoll instance: %w", err)
	}
	if err := unix.SetNonblock(ep, true); err != nil { // else os keeps it out of the poller
		unix.Close(ep)
		return nil, fmt.Errorf("make epoll instance: %w", err)
	}
	w := &Waiter{fd: fd, epoll: os.NewFile(uintptr(ep), "epoll")}
	w.want.Fd = int32(fd)
	w.look = func(ep uintptr) bool {
		w.looks.Add(1)
		n, _ := unix.EpollWait(int(ep), w.event[:], 0)
		return n > 0
	}
	w.wait = func(uintptr) bool {
		w.looks.Add(1)
		return false
	}
	op := unix.EPOLL_CTL_ADD
	w.arm = func(ep uintptr) { w.err = unix.EpollCtl(int(ep), op, w.fd, &w.want) }
	if w.raw, err = w.epoll.SyscallConn(); err == nil {
		err = w.control(unix.EPOLLONESHOT)
	}
	op = unix.EPOLL_CTL_MOD
	if err == nil {
		err = w.epoll.SetReadDeadline(time.Time{})
	}
	if err != nil {
		w.epoll.Close()
		return nil, fmt.Errorf("watch descriptor: %w", err)
	}
	return w, nil
}

func (w *Waiter) control(events uint32) error {
	w.want.Events = events
	if err := w.raw.Control(w.arm); err != nil {
		return err
	}
	return w.err
}

// Readable sleeps until there is something to read or an error to be fetched, and
// then returns true, or until Wake was called. It may return false for no reason.
func (w *Waiter) Readable() (bool, error) {
	if err := w.control(unix.EPOLLIN | unix.EPOLLONESHOT); err != nil {
		return false, fmt.Errorf("poll: %w", err)
	}
	w.event[0].Events = 0
	if err := w.sleep(time.Time{}, w.look); err != nil {
		return false, err
	}
	switch e := w.event[0].Events; {
	case e&(unix.EPOLLIN|unix.EPOLLERR) != 0:
		return true, nil
	case e != 0:
		return false, fmt.Errorf("poll: unexpected events %#x", e)
	}
	// Still armed: it would go off in the next pause, again and again.
	if err := w.control(unix.EPOLLONESHOT); err != nil {
		return false, fmt.Errorf("poll: %w", err)
	}
	return false, nil
}

// Pause sleeps for d, or until Wake was called. It may be shorter for no reason.
func (w *Waiter) Pause(d time.Duration) error { return w.sleep(time.Now().Add(d), w.wait) }

func (w *Waiter) sleep(until time.Time, ready func(uintptr) bool) error {
	// First the time, then the look at woken: a Wake after that ends the sleep.
	if err := w.epoll.SetReadDeadline(until); err != nil {
		return fmt.Errorf("poll: %w", err)
	}
	if w.woken.Swap(false) {
		return nil
	}
	err := w.raw.Read(ready)
	w.woken.Store(false)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("poll: %w", err)
	}
	return nil
}

// Wake ends a sleep, now or the next. The sleeper shall look after every sleep
// for what there is to do: a Wake is forgotten once a sleep has ended.
func (w *Waiter) Wake() {
	w.woken.Store(true)
	// It fails only when there is nobody to wake, after Close.
	_ = w.epoll.SetReadDeadline(time.Unix(1, 0))
}

// Close gives up watching. Nothing may sleep then or later.
func (w *Waiter) Close() error { return w.epoll.Close() }
