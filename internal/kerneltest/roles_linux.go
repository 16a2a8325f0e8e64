// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// KernelName returns the running kernel's release and machine, for the heads of
// files that are recorded from it.
func KernelName(t testing.TB) string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	return "Linux " + unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
}

func init() {
	if os.Getenv(roleVar) == "leaderfirst" {
		runtime.LockOSThread() // the main goroutine is the leader now
	}
}

func nobody([]string) int {
	if err := syscall.Setgid(65533); err != nil {
		return 1
	}
	if err := syscall.Setuid(65534); err != nil {
		return 1
	}
	return 0
}

func execThread([]string) int {
	failed := make(chan int)
	// The main goroutine stays on the leader, so the other cannot be there.
	runtime.LockOSThread()
	go func() {
		runtime.LockOSThread()
		cmd := Command("exit", "0")
		syscall.Exec(cmd.Path, cmd.Args, cmd.Env)
		failed <- 1
	}()
	return <-failed
}

func threads(args []string) int {
	burnThreads(args).Wait()
	status, _ := strconv.Atoi(args[2])
	return status
}

func leaderFirst(args []string) int {
	burning := burnThreads(args)
	status, _ := strconv.Atoi(args[2])
	go func() {
		burning.Wait()
		os.Exit(status)
	}()
	unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
	return 2
}

// burnThreads starts args[0] threads that use args[1] of CPU time each.
func burnThreads(args []string) *sync.WaitGroup {
	n, _ := strconv.Atoi(args[0])
	d, _ := time.ParseDuration(args[1])
	runtime.GOMAXPROCS(n + 1)
	wg := new(sync.WaitGroup)
	for range n {
		wg.Go(func() {
			runtime.LockOSThread() // and never unlock: the thread ends here
			for {
				var ts unix.Timespec
				if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil || ts.Nano() >= int64(d) {
					return
				}
			}
		})
	}
	return wg
}

func write(args []string) int {
	n, _ := strconv.Atoi(args[0])
	f, err := os.Create(args[1])
	if err != nil {
		return 1
	}
	if _, err := f.Write(make([]byte, n)); err != nil || f.Sync() != nil {
		return 1
	}
	return 0
}
