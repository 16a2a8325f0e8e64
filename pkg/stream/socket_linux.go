// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// receiver is the memory of recvmmsg(2), which golang.org/x/sys has the types
// for and no wrapper.
type receiver struct {
	hdrs  []unix.Mmsghdr
	iovs  []unix.Iovec
	names []unix.RawSockaddrNetlink
	bufs  []byte
	size  int
}

func (rx *receiver) init(count, size int) {
	rx.hdrs = make([]unix.Mmsghdr, count)
	rx.iovs = make([]unix.Iovec, count)
	rx.names = make([]unix.RawSockaddrNetlink, count)
	rx.bufs = make([]byte, count*size)
	rx.size = size
	for i := range rx.hdrs {
		rx.iovs[i].Base = &rx.bufs[i*size]
		rx.iovs[i].SetLen(size)
		h := &rx.hdrs[i].Hdr
		h.Name = (*byte)(unsafe.Pointer(&rx.names[i]))
		h.Namelen = unix.SizeofSockaddrNetlink
		h.Iov = &rx.iovs[i]
		h.SetIovlen(1)
	}
}

// receive takes what is queued, up to the number of buffers, without blocking.
func (rx *receiver) receive(fd int) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(&rx.hdrs[0])), uintptr(len(rx.hdrs)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// message returns the ith datagram of the last receive and makes its slot
// ready for the next.
func (rx *receiver) message(i int) Message {
	h := &rx.hdrs[i]
	n := min(int(h.Len), rx.size)
	m := Message{
		Data:      rx.bufs[i*rx.size:][:n:n],
		Truncated: h.Hdr.Flags&unix.MSG_TRUNC != 0,
	}
	if a := &rx.names[i]; h.Hdr.Namelen >= unix.SizeofSockaddrNetlink && a.Family == unix.AF_NETLINK {
		m.Port, m.Groups = a.Pid, a.Groups
		m.Kernel = a.Pid == 0
	}
	h.Hdr.Namelen = unix.SizeofSockaddrNetlink
	return m
}

// Drops returns how many datagrams the kernel has dropped for want of receive
// buffer since the socket was made (SK_MEMINFO_DROPS of
// include/uapi/linux/sock_diag.h). It wraps.
func Drops(fd int) (uint32, error) {
	const drops = 8
	var info [9]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0, fmt.Errorf("read socket's drop counter: %w", errno)
	}
	if size < (drops+1)*4 {
		return 0, fmt.Errorf("read socket's drop counter: kernel returns %d bytes of SO_MEMINFO", size)
	}
	return info[drops], nil
}
