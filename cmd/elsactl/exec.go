// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// A command must be in its group before its first instruction, and elsactl
// itself must not. So a second elsactl, the child, starts, says that it did and
// waits on a socket until the first has put it in the group; then it becomes
// the command. What it used until it was added is not charged; that it has
// started by then leaves little more than execve(2) to be charged.

// execName is the name by which elsactl is told to be the child.
const execName = "elsactl-exec"

// childSocket is the child's end: it writes one byte when it has started, reads
// one, then executes, which closes the socket, or writes the errno that
// execve(2) gave.
const childSocket = 3

func init() {
	// Execute from the main thread: from another one, that thread would first
	// have to take over the process's pid.
	if os.Args[0] == execName {
		runtime.LockOSThread()
	}
}

// execMain is the child: args are the file to execute and its arguments, the
// command's name first. It returns only if it cannot execute it.
func execMain(args []string) (status int) {
	if len(args) < 2 {
		fmt.Fprintf(os.Stderr, "elsactl: %s is for elsactl run alone\n", execName)
		return statusUsage
	}
	unix.CloseOnExec(childSocket)
	env := os.Environ()
	var b [4]byte
	unix.Write(childSocket, b[:1])
	if n, err := readRetry(childSocket, b[:1]); n != 1 || err != nil {
		return statusFailed // elsactl gave up
	}
	err := syscall.Exec(args[0], args[1:], env)
	if err == syscall.ENOEXEC { // a script without #!, for which execvp(3) takes sh
		err = syscall.Exec("/bin/sh", append([]string{"sh", args[0]}, args[2:]...), env)
	}
	var errno syscall.Errno
	errors.As(err, &errno)
	binary.NativeEndian.PutUint32(b[:], uint32(errno))
	unix.Write(childSocket, b[:])
	return statusNotExecutable
}

func readRetry(fd int, b []byte) (int, error) {
	for {
		n, err := unix.Read(fd, b)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// child is a command that is held before its first instruction.
type child struct {
	*exec.Cmd
	socket *os.File
}

// hold starts the child for a command whose file is path, and returns once it
// waits. Standard input, output and error are elsactl's own.
func hold(path string, argv []string) (*child, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "child"), os.NewFile(uintptr(pair[1]), "parent")
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{execName, path}, argv...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{theirs} // becomes childSocket
	err = cmd.Start()
	theirs.Close() // or its end could not be seen
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("start a second elsactl: %w", err)
	}
	c := &child{cmd, ours}
	if _, err := ours.Read(make([]byte, 1)); err != nil {
		c.abandon()
		return nil, fmt.Errorf("start a second elsactl: it ended at once: %v", c.ProcessState)
	}
	return c, nil
}

// release lets the command run, and returns once it does. The error is execve's
// errno if it does not. A child that was killed meanwhile is no error: its wait
// status tells.
func (c *child) release() error {
	defer c.socket.Close()
	if _, err := c.socket.Write([]byte{1}); err != nil {
		return nil
	}
	var b [4]byte
	if _, err := io.ReadFull(c.socket, b[:]); err != nil {
		return nil // closed: it executes
	}
	return syscall.Errno(binary.NativeEndian.Uint32(b[:]))
}

// abandon ends a held child, which never becomes the command.
func (c *child) abandon() {
	c.socket.Close()
	c.Wait()
}

// end waits for the command's end and returns its status as a shell has it:
// 128+n for a death by signal n.
func (c *child) end() int {
	c.Wait()
	ws := c.ProcessState.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}
