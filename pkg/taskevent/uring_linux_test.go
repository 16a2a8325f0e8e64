// SPDX-License-Identifier: Apache-2.0

package taskevent

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
)

// ioUring: a process may have an io_uring.
var ioUring = kerneltest.Requirement{Name: "io_uring", Probe: func() error {
	fd, err := newRing(new(uringParams))
	if err == nil {
		unix.Close(fd)
	}
	return err
}}

// uringParams is struct io_uring_params of include/uapi/linux/io_uring.h.
type uringParams struct {
	sqEntries, cqEntries, flags, cpu, idle, features, wq uint32
	_                                                    [3]uint32
	sq, cq                                               struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		_                                                   uint64
	}
}

func newRing(p *uringParams) (int, error) {
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(p)), 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// uring has a worker thread of an io_uring do nothing.
func uring([]string) int {
	const (
		sqesAt    = 0x10000000 // IORING_OFF_SQES
		async     = 1 << 4     // IOSQE_ASYNC, in the flags of an entry
		getEvents = 1          // IORING_ENTER_GETEVENTS
	)
	var p uringParams
	fd, err := newRing(&p)
	if err != nil {
		return 1
	}
	ring, err := unix.Mmap(fd, 0, int(p.sq.array)+4, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return 2
	}
	entry, err := unix.Mmap(fd, sqesAt, 64, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return 3
	}
	entry[1] = async // of IORING_OP_NOP
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&ring[p.sq.tail])), 1)
	if n, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(fd), 1, 1, getEvents, 0, 0); n != 1 || errno != 0 {
		return 4
	}
	return 0
}
