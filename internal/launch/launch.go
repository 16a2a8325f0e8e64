// SPDX-License-Identifier: Apache-2.0

// Package launch puts the running process in a group and has it become a command:
// the command then has the process id, the parent, and all else that it would have
// had without.
//
// What is a command line of elsactl run without a bill is launched when this package
// is initialized: it imports next to nothing, not even package os or strings, so that
// this is before what they and all the other verbs need is set up, which takes
// several times as long.
package launch

import (
	"runtime"
	"strconv"
	"syscall"

	"elsa/internal/inherited"
)

// Command is what to run.
type Command struct {
	// Socket is where the service listens.
	Socket string
	// Group is the group to join, made if it is missing; empty is a fresh one.
	Group string
	// Argv are the command's name and arguments.
	Argv []string
	// Ignore and Block are the signals that the command ignores and that are blocked
	// in it; see inherited.Ignored and inherited.Blocked.
	Ignore, Block uint64
	// Joined is called once the process is in a group, before it executes.
	Joined func(Failure)
}

// Stage is how far a launch came.
type Stage string

// What failed.
const (
	Find    Stage = "find"    // no such command, or it may not be executed
	Connect Stage = "connect" // the service is not there
	Ask     Stage = "ask"     // no answer
	Refused Stage = "refused" // the service refused
	Execute Stage = "execute" // execve(2) failed
)

// Failure is why a process did not become a command.
type Failure struct {
	Stage Stage
	// Errno is the cause, but for Refused.
	Errno syscall.Errno
	// Status and Body are the service's refusal, by HTTP.
	Status int
	Body   string
	// Group is the group that was joined, Created if it was made for that. Set for
	// Execute and what Joined is told.
	Group   string
	Created bool
}

// Early is the failure of what was launched when the package was initialized; nil
// if nothing was.
var Early *Failure

func init() { Try(inherited.Args()) }

// Try launches what a command line, the program's name first, asks to be launched,
// and returns if that is nothing or fails; see Early. The package does so itself
// where it knows the command line when it is initialized; main must otherwise.
func Try(args []string) {
	if len(args) == 0 || Early != nil {
		return
	}
	if args[0] == ChildName {
		childMain(args[1:])
	}
	if c, ok := parse(args[1:]); ok {
		f := c.Become()
		Early = &f
	}
}

// Become joins the group and executes the command in place of the running program.
// It returns only if that fails. Other goroutines may not run meanwhile.
func (c Command) Become() Failure {
	runtime.LockOSThread()
	path, errno := LookPath(c.Argv[0])
	if errno != 0 {
		return Failure{Stage: Find, Errno: errno}
	}
	f := c.join()
	if f.Stage != "" {
		runtime.UnlockOSThread()
		return f
	}
	if c.Joined != nil {
		c.Joined(f)
	}
	env := inherited.Environ()
	// From the main thread, so that no other has to take over the process's pid.
	inherited.Restore(c.Ignore, c.Block)
	err := syscall.Exec(path, c.Argv, env)
	if err == syscall.ENOEXEC { // a script without #!, for which execvp(3) takes sh
		err = syscall.Exec("/bin/sh", append([]string{"sh", path}, c.Argv[1:]...), env)
	}
	f.Stage, f.Errno = Execute, syscall.EINVAL // a NUL in the arguments cannot be
	if errno, ok := err.(syscall.Errno); ok {
		f.Errno = errno
	}
	return f
}

// ChildName is the name by which elsactl is told to become a command.
const ChildName = "elsactl-exec"

// Child are the file to execute and its arguments with which a process launches c
// and reports on the open descriptor report: what Report reads.
func (c Command) Child(report int) (path string, argv []string) {
	return "/proc/self/exe", append([]string{ChildName, strconv.Itoa(report), strconv.FormatUint(c.Ignore, 16), strconv.FormatUint(c.Block, 16), c.Socket, c.Group}, c.Argv...)
}

// childMain is the child. It does not return.
func childMain(args []string) {
	if len(args) < 6 {
		syscall.Write(2, []byte("elsactl: "+ChildName+" is for elsactl run alone\n"))
		syscall.Exit(2)
	}
	report, err := strconv.Atoi(args[0])
	ignore, err2 := strconv.ParseUint(args[1], 16, 64)
	block, err3 := strconv.ParseUint(args[2], 16, 64)
	if err != nil || err2 != nil || err3 != nil {
		syscall.Exit(2)
	}
	syscall.CloseOnExec(report)
	c := Command{Socket: args[3], Group: args[4], Argv: args[5:], Ignore: ignore, Block: block}
	c.Joined = func(f Failure) { writeAll(report, f.encode()) }
	f := c.Become()
	writeAll(report, f.encode())
	syscall.Exit(126)
}

// encode writes a failure as a line of fields and, for a refusal, its body.
func (f Failure) encode() string {
	return string(f.Stage) + "\t" + strconv.Itoa(int(f.Errno)) + "\t" + strconv.Itoa(f.Status) + "\t" + f.Group + "\t" + strconv.FormatBool(f.Created) + "\t" + strconv.Itoa(len(f.Body)) + "\n" + f.Body
}
