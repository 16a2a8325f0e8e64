// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

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
//
// A short pause is different. It comes two hundred times a second under load, and
// each time the last processor falls idle and is taken again, the monitor and a
// thread that looks for work are woken too. So the thread keeps its processor and
// sleeps in a call that the runtime does not know of. Collections interrupt it.
type Waiter struct {
	fd    int
	epoll *os.File
	raw   syscall.RawConn
	event [1]unix.EpollEvent // that ended the last sleep
	// Made once, so that no sleep allocates: arm asks for what is in want, look
	// takes an event, wait takes none.
	arm     func(uintptr)
	look    func(uintptr) bool
	wait    func(uintptr) bool
	want    unix.EpollEvent
	err     error // of arm
	woken   atomic.Bool
	bell    int           // an eventfd that ends a short pause
	pausing atomic.Bool   // there is one
	short   time.Duration // the longest pause that keeps its processor
	looks   atomic.Uint64 // one as each sleep begins, and one for each wake-up by the poller
}

// shortPause: the runtime's monitor interrupts whatever runs for 10 ms.
const shortPause = 9 * time.Millisecond

// NewWaiter returns a Waiter for fd, which stays the caller's and must be open
// until Close.
func NewWaiter(fd int) (*Waiter, error) {
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("make eventfd: %w", err)
	}
	w, err := newWaiter(fd)
	if err != nil {
		unix.Close(bell)
		return nil, err
	}
	w.bell = bell
	if runtime.GOMAXPROCS(0) > 1 { // there is one for the others
		w.short = shortPause
	}
	return w, nil
}

func newWaiter(fd int) (*Waiter, error) {
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
func (w *Waiter) Pause(d time.Duration) error {
	if d > w.short {
		return w.sleep(time.Now().Add(d), w.wait)
	}
	w.pausing.Store(true) // first, then the look at woken: a Wake after that rings
	defer w.pausing.Store(false)
	if w.woken.Swap(false) {
		return nil
	}
	w.looks.Add(1)
	bell := unix.PollFd{Fd: int32(w.bell), Events: unix.POLLIN}
	timeout := unix.NsecToTimespec(int64(d))
	_, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&bell)), 1, uintptr(unsafe.Pointer(&timeout)), 0, 0, 0)
	w.woken.Store(false)
	if errno != 0 && errno != unix.EINTR {
		return fmt.Errorf("pause: %w", errno)
	}
	if bell.Revents != 0 {
		var rings [8]byte
		_, _ = unix.Read(w.bell, rings[:]) // it has rung
	}
	return nil
}

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
	if w.pausing.Load() {
		_, _ = unix.Write(w.bell, ring) // fails only if it has not been heard for 2^64 times
	}
	// It fails only when there is nobody to wake, after Close.
	_ = w.epoll.SetReadDeadline(time.Unix(1, 0))
}

// ring is what a bell is rung with.
var ring = binary.NativeEndian.AppendUint64(nil, 1)

// Close gives up watching. Nothing may sleep then or later.
func (w *Waiter) Close() error { return errors.Join(w.epoll.Close(), unix.Close(w.bell)) }
