// SPDX-License-Identifier: Apache-2.0

package api

import (
	"unsafe"

	"golang.org/x/sys/unix"
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
