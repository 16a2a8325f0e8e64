// SPDX-License-Identifier: Apache-2.0

// Package peer tells who is at the other end of a unix socket.
package peer

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Groups are the supplementary groups that the process at the other end of the socket fd
// had when it connected, as the kernel tells them: getsockopt(SO_PEERGROUPS), see
// unix(7), which x/sys/unix does not wrap.
func Groups(fd int) ([]uint32, error) {
	gids := make([]uint32, 64)
	for {
		size := uint32(len(gids)) * 4 // socklen_t; the kernel sets what it needs on ERANGE
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&gids[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == 0:
			return gids[:size/4], nil
		case errno == unix.ERANGE && size > uint32(len(gids))*4:
			gids = make([]uint32, size/4)
		default:
			return nil, errno
		}
	}
}
