// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
	"elsa/pkg/clock"
	"elsa/test/workload"
)

func TestMain(m *testing.M) { kerneltest.Main(m, map[string]kerneltest.Role{"io": ioRole}) }

// These tests need no privilege: they look at their own processes.

func TestKernelProcess(t *testing.T) {
	began := Now()
	c := kerneltest.Spawn(t, "wait")
	pid := int32(c.PID)
	p, err := Default.Process(pid)
	if err != nil {
		t.Fatal(err)
	}
	if p.PID != pid || p.PPID != int32(os.Getpid()) || p.UID != uint32(os.Getuid()) || p.Dead() {
		t.Errorf("child %d of %d, uid %d: %+v", pid, os.Getpid(), os.Getuid(), p)
	}
	if age := p.Start.Boot().Sub(began); age < -tick || age > 10*time.Second {
		t.Errorf("started %v after the test", age)
	}
	if age := time.Since(p.Start.Boot().Wall(Booted()).Time()); age < 0 || age > 10*time.Second {
		t.Errorf("started %v ago by the wall clock", age)
	}
	if exe, err := Default.Executable(pid); err != nil || !strings.HasSuffix(exe, "proc.test") {
		t.Errorf("Executable = %q, %v", exe, err)
	}
	// Go's Start returns when exec closes the descriptors, before the arguments are there.
	kerneltest.Eventually(t, "the command line is /proc/self/exe", func() bool {
		args, err := Default.CommandLine(pid)
		return err == nil && slices.Equal(args, []string{"/proc/self/exe"})
	})

	tids, err := Default.Threads(pid)
	if err != nil || !slices.Contains(tids, pid) {
		t.Fatalf("Threads = %v, %v", tids, err)
	}
	for _, tid := range tids { // a Go program has some
		if got, want := Default.IsThread(tid), tid != pid; got != want {
			t.Errorf("IsThread(%d) of process %d = %v", tid, pid, got)
		}
		if tid == pid {
			continue
		}
		_, err := Default.Process(tid)
		if want := fmt.Sprintf("thread of process %d", pid); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), want) {
			t.Errorf("Process(thread %d) = %v, want %q", tid, err, want)
		}
	}

	list, err := Default.Snapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	found := slices.IndexFunc(list, func(q Process) bool { return q.PID == pid })
	if found < 0 || list[found].Start != p.Start || list[found].UID != UnknownUID {
		t.Errorf("child %+v is at %d in %+v", p, found, list)
	}
	if slices.ContainsFunc(list, func(q Process) bool { return q.PID != pid && slices.Contains(tids, q.PID) }) {
		t.Errorf("a thread of %v is in %+v", tids, list)
	}

	c.Release()
	c.Wait()
	_, errProcess := Default.Process(pid)
	_, errThreads := Default.Threads(pid)
	_, errExe := Default.Executable(pid)
	_, errArgs := Default.CommandLine(pid)
	if Default.IsThread(pid) {
		t.Errorf("process %d is a thread after its end", pid)
	}
	for _, err := range []error{errProcess, errThreads, errExe, errArgs} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after its end: %v, want fs.ErrNotExist", err)
		}
	}
}

func TestKernelZombie(t *testing.T) {
	cmd := exec.Command(workload.Build(t), "self", "20")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := int32(cmd.Process.Pid)
	// WNOWAIT: return once it is dead and leave it unreaped.
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, int(pid), &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	p, err := Default.Process(pid)
	if err != nil || !p.Dead() {
		t.Fatalf("Process = %+v, %v; want a dead one", p, err)
	}
	sampler := Default.NewSampler()
	var s Sample
	for _, detail := range []bool{false, true} {
		if err := sampler.Sample(pid, p.Start, &s, detail); err != nil {
			t.Error(err)
		}
		if s.CPU < 20*ms || s.User+s.System != s.CPU || s.Dead != detail {
			t.Errorf("sample of a process that burned 20 ms: %+v", s)
		}
	}
	cmd.Wait()
	// Its clock is final: what wait4 says, in microseconds.
	if waited := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(); s.CPU < waited || s.CPU > waited+2*time.Microsecond {
		t.Errorf("sampled %v, waited %v", s.CPU, waited)
	}
	for _, detail := range []bool{false, true} {
		before := s
		if err := sampler.Sample(pid, p.Start, &s, detail); !errors.Is(err, fs.ErrNotExist) || s != before {
			t.Errorf("after its end: %v, %+v; want fs.ErrNotExist and %+v", err, s, before)
		}
	}
}

// TestKernelSampleWithoutChildren: a shell that waited for a busy child is not
// charged with it.
func TestKernelSampleWithoutChildren(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", workload.Build(t)+" self 200; read x")
	line := startAndRead(t, cmd)
	truth, err := workload.Parse(line)
	if err != nil {
		t.Fatal(err)
	}
	pid := int32(cmd.Process.Pid)
	// The line precedes the child's end, and its end the shell's next system
	// call: it waits for us in read.
	waitFor(t, "the shell to be alone", func() bool {
		list, err := Default.Snapshot(nil)
		return err == nil && !slices.ContainsFunc(list, func(p Process) bool { return p.PPID == pid })
	})
	p, err := Default.Process(pid)
	if err != nil {
		t.Fatal(err)
	}
	var s Sample
	if err := Default.NewSampler().Sample(pid, p.Start, &s, true); err != nil {
		t.Fatal(err)
	}
	if truth.Burned < 200*ms || s.CPU > 100*ms || s.CPU == 0 {
		t.Errorf("the child burned %v, the shell's sample is %v", truth.Burned, s.CPU)
	}
}

// What the role io writes.
const (
	byMain   = 1 << 20
	byThread = 2 << 20 // of a thread that lives on
	byDead   = 4 << 20 // of a thread that has ended
	byChild  = 8 << 20 // of a child that was waited for
)

func ioRole(args []string) int {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return 1
	}
	write := func(n int) { null.Write(make([]byte, n)) }
	done := make(chan int)
	onThread(func() {
		write(byThread)
		done <- 0
		select {}
	})
	<-done
	onThread(func() {
		write(byDead)
		for used := time.Duration(0); used < 50*ms; {
			var t unix.Timespec
			unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
			used = time.Duration(t.Nano())
		}
		done <- unix.Gettid()
	})
	dead := <-done
	for unix.Tgkill(os.Getpid(), dead, 0) == nil {
		runtime.Gosched()
	}
	if len(args) > 0 { // without a child
	} else if err := exec.Command("/bin/sh", "-c", fmt.Sprintf("head -c %d /dev/zero >/dev/null", byChild)).Run(); err != nil {
		return 1
	}
	write(byMain)
	fmt.Println("ready")
	in := bufio.NewReader(os.Stdin)
	for {
		switch line, _ := in.ReadString('\n'); line {
		case "thread\n": // one more that writes and ends
			onThread(func() {
				write(byDead)
				done <- unix.Gettid()
			})
			for dead := <-done; unix.Tgkill(os.Getpid(), dead, 0) == nil; {
				runtime.Gosched()
			}
		case "child\n": // one more that is waited for
			if exec.Command("/bin/sh", "-c", fmt.Sprintf("head -c %d /dev/zero >/dev/null", byChild)).Run() != nil {
				return 1
			}
		default:
			return 0
		}
		fmt.Println("done")
	}
}

// onThread runs f on a thread that ends with f. Go never ends the main thread, so
// a goroutine that finds itself there keeps it busy.
func onThread(f func()) {
	go func() {
		runtime.LockOSThread() // and never unlocked
		if unix.Gettid() == os.Getpid() {
			onThread(f)
			select {}
		}
		f()
	}()
}

// TestKernelSampleDeadThreads checks that the I/O of dead threads is sampled of a
// process that has waited for no child.
func TestKernelSampleDeadThreads(t *testing.T) {
	c := kerneltest.Spawn(t, "io", "alone")
	c.Line()
	p, err := Default.Process(int32(c.PID))
	if err != nil {
		t.Fatal(err)
	}
	var s Sample
	if err := Default.NewSampler().Sample(p.PID, p.Start, &s, true); err != nil {
		t.Fatal(err)
	}
	if got, want := s.WriteChars, uint64(byMain+byThread+byDead); got < want || got > want+1<<19 {
		t.Errorf("all threads wrote %d, sampled %d", want, got)
	}
}

// TestKernelSampleThreads checks whose use a sample holds: CPU that of dead
// threads as well, I/O that of the live ones, and neither that of children.
// /proc/PID/io is shown to have the I/O of all of them.
func TestKernelSampleThreads(t *testing.T) {
	c := kerneltest.Spawn(t, "io")
	c.Line()
	pid := int32(c.PID)
	p, err := Default.Process(pid)
	if err != nil {
		t.Fatal(err)
	}
	var s Sample
	sampler := Default.NewSampler()
	if err := sampler.Sample(pid, p.Start, &s, true); err != nil {
		t.Fatal(err)
	}
	const slack = 1 << 19 // what the Go runtime writes itself
	if got, want := s.WriteChars, uint64(byMain+byThread); got < want || got > want+slack {
		t.Errorf("live threads wrote %d, sampled %d", want, got)
	}
	if s.CPU < 50*ms {
		t.Errorf("a dead thread burned 50 ms, sampled %v", s.CPU)
	}
	if s.Dead || s.MaxRSS < 1<<20 || s.MinorFaults < 100 || s.VoluntarySwitches+s.InvoluntarySwitches == 0 || s.Denied {
		t.Errorf("sample of a Go program: %+v", s)
	}

	text, err := os.ReadFile(Default.path(pid, "io"))
	if err != nil {
		t.Fatal(err)
	}
	var whole ioCounts
	if err := parseIO(text, &whole); err != nil {
		t.Fatal(err)
	}
	if got, want := whole.writeChars, uint64(byMain+byThread+byDead+byChild); got < want || got > want+slack {
		t.Errorf("/proc/PID/io has %d, want %d with dead threads and children: is that other in this kernel?", got, want)
	}
}

// TestKernelSampleAfterChildren: a process that has waited for children is billed the
// I/O of the threads that end later, and none of its children.
func TestKernelSampleAfterChildren(t *testing.T) {
	c := kerneltest.Spawn(t, "io")
	c.Line()
	p, err := Default.Process(int32(c.PID))
	if err != nil {
		t.Fatal(err)
	}
	var s Sample
	sampler := Default.NewSampler()
	sample := func(want uint64, what string) {
		t.Helper()
		if err := sampler.Sample(p.PID, p.Start, &s, true); err != nil {
			t.Fatal(err)
		}
		if got := s.WriteChars; got < want || got > want+1<<19 {
			t.Errorf("%s: it wrote %d, sampled %d", what, want, got)
		}
	}
	sample(byMain+byThread, "the first time")
	c.Ask("thread")
	sample(byMain+byThread+byDead, "a thread ended")
	c.Ask("child")
	sample(byMain+byThread+byDead, "a child was waited for")
	c.Ask("thread")
	sample(byMain+byThread+2*byDead, "another thread ended")
	c.Ask("thread")
	c.Ask("child")
	sample(byMain+byThread+2*byDead, "a thread ended and a child was waited for")
	c.Ask("thread")
	sample(byMain+byThread+3*byDead, "and one more")
}

// TestKernelLeaderFirst samples a process whose main thread has ended.
func TestKernelLeaderFirst(t *testing.T) {
	cmd := exec.Command(workload.Build(t), "threads", "2", "600000", "leader-first")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	pid := int32(cmd.Process.Pid)
	var p Process
	waitFor(t, "the main thread's end", func() bool {
		var err error
		if p, err = Default.Process(pid); err != nil {
			t.Fatal(err)
		}
		return p.State == 'Z'
	})
	if p.Dead() || p.Threads != 3 {
		t.Errorf("a process of two threads without a leader: %+v, dead %v", p, p.Dead())
	}
	sampler := Default.NewSampler()
	var first, s Sample
	if err := sampler.Sample(pid, p.Start, &first, true); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "20 ms more", func() bool {
		if err := sampler.Sample(pid, p.Start, &s, false); err != nil {
			t.Fatal(err)
		}
		return s.CPU > first.CPU+20*ms
	})
}

func TestKernelSampleOfAnother(t *testing.T) {
	c := kerneltest.Spawn(t, "wait")
	pid := int32(c.PID)
	p, err := Default.Process(pid)
	if err != nil {
		t.Fatal(err)
	}
	var s Sample
	if err := Default.NewSampler().Sample(pid, clock.At(p.Start.Boot().Add(-tick), clock.Tick), &s, true); !errors.Is(err, fs.ErrNotExist) || s != (Sample{}) {
		t.Errorf("start time of another process: %v, %+v; want fs.ErrNotExist", err, s)
	}
	s.CPU = math.MaxInt64 // as if its predecessor had used more
	if err := Default.NewSampler().Sample(pid, p.Start, &s, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a clock that fell: %v, want fs.ErrNotExist", err)
	}
}

func TestKernelForks(t *testing.T) {
	before, err := Default.Forks()
	if err != nil {
		t.Fatal(err)
	}
	truth := workload.Run(t, "fork", "100")
	after, err := Default.Forks()
	if err != nil {
		t.Fatal(err)
	}
	if n := after - before; n < uint64(truth.Processes) {
		t.Errorf("%d forks seen, made %d", n, truth.Processes)
	}
}

func TestKernelClocks(t *testing.T) {
	id, err := Default.BootID()
	if err != nil || len(id) != 36 {
		t.Errorf("BootID = %q, %v", id, err)
	}
	if a, b := Asleep(), Asleep(); max(a-b, b-a) > ms || a < -ms {
		t.Errorf("boottime less monotonic: %v, then %v", a, b)
	}
	// btime of /proc/stat is the same moment, in whole seconds.
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	var btime int64
	for line := range strings.Lines(string(text)) {
		fmt.Sscanf(line, "btime %d", &btime)
	}
	if d := Booted().Time().Sub(time.Unix(btime, 0)); d < -time.Second || d > 2*time.Second {
		t.Errorf("Booted is %v after btime", d)
	}
}

// startAndRead starts cmd with standard input held open until the test ends,
// and returns the first line it prints.
func startAndRead(t *testing.T, cmd *exec.Cmd) []byte {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// waitFor calls ready until it holds, for ten seconds.
func waitFor(t *testing.T, what string, ready func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ready(); {
		if time.Now().After(end) {
			t.Fatalf("waited 10 s for %s", what)
		}
		runtime.Gosched()
	}
}
