// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"syscall"
	"unsafe"
)

// LookPath finds the file of a command as execvp(3) does: along PATH unless the
// name has a slash, and past files that may not be executed. ([os/exec.LookPath]
// does not tell "may not" from "is not there".)
func LookPath(name string) (string, syscall.Errno) {
	if base(name) != name {
		return name, executable(name)
	}
	if name == "" {
		return "", syscall.ENOENT
	}
	path, ok := syscall.Getenv("PATH")
	if !ok {
		path = "/usr/local/bin:/usr/bin:/bin"
	}
	found := syscall.ENOENT
	for more := true; more; {
		var dir string
		dir, path, more = cut(path, ":")
		if dir == "" {
			dir = "."
		}
		file := dir + "/" + name
		switch errno := executable(file); errno {
		case 0:
			return file, 0
		case syscall.EACCES, syscall.EPERM:
			found = errno
		}
	}
	return "", found
}

func executable(file string) syscall.Errno {
	var st syscall.Stat_t
	err := syscall.Stat(file, &st)
	switch errno, _ := err.(syscall.Errno); {
	case errno == syscall.ENOTDIR:
		return syscall.ENOENT
	case errno != 0:
		return errno
	case err != nil: // a NUL in the name
		return syscall.ENOENT
	case st.Mode&syscall.S_IFMT != syscall.S_IFREG:
		return syscall.EACCES
	}
	return access(file)
}

// access asks for the right to execute, of the effective ids. Before Linux 5.8
// there is only the question for the real ones; execve(2) has the last word.
func access(file string) syscall.Errno {
	p, err := syscall.BytePtrFromString(file)
	if err != nil {
		return syscall.ENOENT
	}
	const faccessat2, atEaccess, xOK = 439, 0x200, 1
	cwd := -100 // AT_FDCWD
	_, _, errno := syscall.Syscall6(faccessat2, uintptr(cwd), uintptr(unsafe.Pointer(p)), xOK, atEaccess, 0, 0)
	if errno == syscall.ENOSYS {
		_, _, errno = syscall.Syscall(syscall.SYS_FACCESSAT, uintptr(cwd), uintptr(unsafe.Pointer(p)), xOK)
	}
	return errno
}
