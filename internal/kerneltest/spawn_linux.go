// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const roleVar = "ELSA_KERNELTEST_ROLE"

// Role is what a spawned copy of the test binary does instead of testing. Its
// result is the exit status. It may print lines for [Child.Line], and read
// standard input, which ends when the test calls [Child.Release].
type Role func(args []string) int

// Roles every package has.
var roles = map[string]Role{
	"exit":  exit,  // exit STATUS: at once
	"wait":  wait,  // wait: until released
	"burn":  burn,  // burn DURATION: use that much CPU
	"storm": storm, // storm N: fork N children that exit at once, print their pids

	"sibling": sibling, // sibling: when released, fork a child of the own parent (CLONE_PARENT) and print its pid
	"write":   write,   // write BYTES FILE: write so much, to the disk

	"nobody":      nobody,      // nobody: become user 65534 of group 65533 and exit
	"execthread":  execThread,  // execthread: execute "exit 0" in a thread that does not lead
	"threads":     threads,     // threads N DURATION STATUS: burn in N threads of their own, then exit
	"leaderfirst": leaderFirst, // leaderfirst N DURATION STATUS: the same after the leader has ended
	"stuckexec":   stuckExec,   // stuckexec FILE PROGRAM...: execute it with FILE open until then, a [Stuck] one
}

// Main is for TestMain of a package that uses [Spawn]: it runs the role this
// process was spawned for, or else the tests, and exits. extra adds roles.
func Main(m *testing.M, extra map[string]Role) {
	ready = true
	maps.Copy(roles, extra)
	name, spawned := os.LookupEnv(roleVar)
	if !spawned {
		os.Exit(m.Run())
	}
	os.Unsetenv(roleVar)
	role, ok := roles[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "kerneltest: no role %q\n", name)
		os.Exit(2)
	}
	os.Exit(role(os.Args[1:]))
}

// Spawned reports whether this process was started to play a role, so that a TestMain
// with work of its own should call Main first.
func Spawned() bool {
	ready = true
	_, spawned := os.LookupEnv(roleVar)
	return spawned
}

// ready: Main was called, so that a child runs its role, not all the tests again.
var ready bool

// Command returns the command that runs a role, not started. It panics in a package
// whose TestMain does not call Main.
func Command(role string, args ...string) *exec.Cmd {
	if !ready {
		panic("kerneltest: spawn " + role + ": TestMain must call kerneltest.Main")
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), roleVar+"="+role,
		"GORACE=atexit_sleep_ms=0") // a race-enabled child would end a second late
	cmd.Stderr = os.Stderr
	// A role must not outlive a test binary that was killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Child is a spawned process. It is for the test's goroutine alone.
type Child struct {
	*exec.Cmd
	PID int

	t     testing.TB
	stdin io.WriteCloser
	out   *bufio.Reader
	pipe  *os.File
	done  bool
}

// Spawn starts a role. When t ends the child is killed and reaped if the test
// has not waited for it.
func Spawn(t testing.TB, role string, args ...string) *Child {
	t.Helper()
	return SpawnAs(t, nil, role, args...)
}

// SpawnAs is Spawn with the ids of another user; nil is this one's.
func SpawnAs(t testing.TB, user *syscall.Credential, role string, args ...string) *Child {
	t.Helper()
	cmd := Command(role, args...)
	cmd.SysProcAttr.Credential = user
	// The thread that forks must stay, or Pdeathsig strikes early. Go keeps
	// idle threads, unless a locked goroutine ends; tests do not do that.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = w
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatalf("spawn %s: %v", role, err)
	}
	c := &Child{Cmd: cmd, PID: cmd.Process.Pid, t: t, stdin: stdin, out: bufio.NewReader(r), pipe: r}
	t.Cleanup(func() {
		if !c.done {
			cmd.Process.Kill()
			cmd.Wait()
		}
		r.Close()
	})
	return c
}

// Line returns the next line the child printed, without its newline. It fails
// the test when none comes within ten seconds.
func (c *Child) Line() string {
	c.t.Helper()
	c.pipe.SetReadDeadline(time.Now().Add(10 * time.Second))
	s, err := c.out.ReadString('\n')
	if err != nil {
		c.t.Fatalf("%s: read a line: %v", c.Path, err)
	}
	return strings.TrimSuffix(s, "\n")
}

// Ask writes a line to the child and returns the next one it prints.
func (c *Child) Ask(line string) string {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.stdin, line); err != nil {
		c.t.Fatalf("%s: write %q: %v", c.Path, line, err)
	}
	return c.Line()
}

// Pids returns the pids the child has printed or prints until it ends.
func (c *Child) Pids() []int {
	c.t.Helper()
	c.pipe.SetReadDeadline(time.Now().Add(5 * time.Minute)) // a busy machine forks a hundred times a second
	b, err := io.ReadAll(c.out)
	if err != nil {
		c.t.Fatalf("read pids: %v", err)
	}
	var pids []int
	for _, s := range strings.Fields(string(b)) {
		pid, err := strconv.Atoi(s)
		if err != nil {
			c.t.Fatalf("read pids: %v", err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// Release ends the child's standard input.
func (c *Child) Release() { c.stdin.Close() }

// Wait waits for the child's end and returns how it ended. Read what it prints
// first: a child that fills its pipe does not end.
func (c *Child) Wait() *os.ProcessState {
	c.t.Helper()
	c.done = true
	if err := c.Cmd.Wait(); c.ProcessState == nil {
		c.t.Fatalf("wait for %d: %v", c.PID, err)
	}
	return c.ProcessState
}

func exit(args []string) int {
	n, _ := strconv.Atoi(args[0])
	return n
}

func wait([]string) int {
	io.Copy(io.Discard, os.Stdin)
	return 0
}

func burn(args []string) int {
	d, err := time.ParseDuration(args[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	var used time.Duration
	for used < d {
		var ru unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		used = time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	}
	return 0
}

func storm(args []string) int {
	n, _ := strconv.Atoi(args[0])
	var pids []byte
	for range n {
		pid, err := Fork()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		pids = append(strconv.AppendInt(pids, int64(pid), 10), '\n')
	}
	os.Stdout.Write(pids)
	return 0
}

func sibling([]string) int {
	io.Copy(io.Discard, os.Stdin)
	pid, errno := rawFork(unix.CLONE_PARENT)
	if errno != 0 {
		return 1
	}
	fmt.Println(pid)
	return 0
}

// Fork makes a child that exits at once with status 0, waits for it and
// returns its pid. It is the cheapest process Go can make: no exec, no thread.
func Fork() (int, error) {
	pid, errno := rawFork(0)
	if errno != 0 {
		return 0, fmt.Errorf("fork: %w", errno)
	}
	for {
		_, err := unix.Wait4(pid, nil, 0, nil)
		if err != unix.EINTR {
			return pid, err
		}
	}
}

// rawFork may not touch the Go runtime between the two calls: the child has
// this thread only.
//
//go:norace
//go:noinline
func rawFork(flags uintptr) (int, unix.Errno) {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, flags|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && pid == 0 {
		for {
			unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	return int(pid), errno
}
