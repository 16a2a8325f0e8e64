// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// listener starts this program as one that subscribes to the process connector
// and does nothing with what comes: it reads "none" of it, so that what is left
// is the kernel's own cost, or "all", an event at a time, as the examples of
// the connector do.
func (b *bench) listener(reads string) (*program, error) {
	return b.start("listening", os.Args[0], "-listen", reads)
}

// listen is such a program. It returns only on error.
func listen(reads string) error {
	// No goroutine but this one has anything to do; the runtime must not wake
	// to look after it.
	runtime.LockOSThread()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM, unix.NETLINK_CONNECTOR)
	if err != nil {
		return err
	}
	// All that a load says fits: an event that is dropped costs less.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 256<<20); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		return err
	}
	// nlmsghdr, cn_msg {CN_IDX_PROC, CN_VAL_PROC}, PROC_CN_MCAST_LISTEN
	if err := unix.Sendto(fd, []byte{
		40, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0,
	}, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "listening")
	buf := make([]byte, 256)
	for reads == "all" {
		// A raw call: for the runtime this thread is busy, not asleep, which
		// would have its monitor look every 20 µs.
		_, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0, 0)
		if errno != 0 && errno != unix.EINTR {
			return errno
		}
	}
	return unix.Pause()
}
