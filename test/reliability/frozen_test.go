// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"elsa/internal/kerneltest"
)

// loopDevices are what a file system in a file is mounted by.
var loopDevices = kerneltest.Requirement{Name: "loop devices", Probe: func() error {
	_, err := os.Stat("/dev/loop-control")
	return err
}}

// newExt4 mounts a file system that can be frozen.
func newExt4(t testing.TB) (dir string) {
	t.Helper()
	kerneltest.Need(t, kerneltest.Program("mkfs.ext4", "e2fsprogs"), kerneltest.Program("fsfreeze", "util-linux"), loopDevices)
	image := filepath.Join(t.TempDir(), "image")
	dir = t.TempDir()
	kerneltest.Mounts(t, dir)
	for _, args := range [][]string{
		{"truncate", "-s", "200M", image}, {"mkfs.ext4", "-q", image}, {"mount", "-o", "loop", image, dir},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	return dir
}

// freeze freezes a file system until thaw is called, or this process is gone.
func freeze(t testing.TB, dir string) (thaw func()) {
	t.Helper()
	cmd := exec.Command("sh", "-c", `fsfreeze -f "$0" && echo frozen; read line; fsfreeze -u "$0"`, dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	once := sync.OnceFunc(func() { in.Close(); cmd.Wait() })
	t.Cleanup(once)
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("freeze: %q, %v", line, err)
	}
	return once
}

// watchdog counts what a service tells its manager that it lives.
type watchdog struct {
	path string

	mu      sync.Mutex
	last    time.Time
	longest time.Duration // between two
}

func newWatchdog(t testing.TB) *watchdog {
	t.Helper()
	w := &watchdog{path: filepath.Join(t.TempDir(), "notify"), last: time.Now()}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: w.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		for b := make([]byte, 4096); ; {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			if strings.Contains(string(b[:n]), "WATCHDOG=1") {
				w.beat()
			}
		}
	}()
	return w
}

func (w *watchdog) beat() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.longest, w.last = max(w.longest, now.Sub(w.last)), now
}

// reset forgets how long the longest time was.
func (w *watchdog) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.longest, w.last = 0, time.Now()
}

// silence is the longest time without a word since reset, up to now.
func (w *watchdog) silence() time.Duration {
	w.beat()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.longest
}

// The file system of the state directory is frozen under a load, as for a snapshot.
// The service lives on: it feeds its watchdog, answers scrapes and requests in time
// with what is committed, and says since when. When it thaws nothing is lost, though
// the kernel writes no lines meanwhile.
func TestKernelFrozen(t *testing.T) {
	needKernel(t)
	times, long, limit := 1, 10*time.Second, 9*time.Second
	if soak() {
		times, long, limit = 5, 45*time.Second, 30*time.Second
	}
	dir := newExt4(t)
	d := newDaemon(t, dir)
	w := newWatchdog(t)
	d.start("NOTIFY_SOCKET="+w.path, fmt.Sprintf("WATCHDOG_USEC=%d", limit.Microseconds()))
	l := d.load("proved", nil, "churn", "cbz", "2", "1000")
	d.more("proved", 50)
	var slowest time.Duration
	answers, series := 0, `elsa_group_processes_ended_total{group="proved"}`
	timed := func(what string, f func() bool) {
		begin := time.Now()
		if !f() {
			t.Errorf("%s is not answered as it should be while the disk hangs", what)
		}
		answers++
		slowest = max(slowest, time.Since(begin))
	}
	for range times {
		w.reset()
		thaw := freeze(t, dir)
		before := d.said()
		end := time.After(long)
		tick := time.NewTicker(time.Second)
		hung := false
		for frozen := true; frozen; {
			select {
			case <-end:
				frozen = false
				continue
			case <-tick.C:
			}
			timed("a scrape", func() bool { _, ok := d.metrics()[series]; return ok })
			timed("a request", func() bool { return d.started("proved") > 50 })
			hung = hung || !d.status().UnsavedSince.IsZero()
		}
		tick.Stop()
		if out, err := d.command("group", "create", "late").CombinedOutput(); err == nil || !strings.Contains(string(out), "not safe on disk") {
			t.Errorf("a group made while the disk hangs: %v: %s", err, out)
		}
		if s := w.silence(); s >= limit {
			t.Errorf("%v without a word to the watchdog, which allows %v", s, limit)
		}
		if !hung || strings.Count(strings.TrimPrefix(d.said(), before), "the disk does not answer") < 1 {
			t.Errorf("status says since when: %v; the log has %s", hung, strings.TrimPrefix(d.said(), before))
		}
		thaw()
		kerneltest.Eventually(t, "the disk is written to", func() bool { return d.status().UnsavedSince.IsZero() })
		d.ctl("group", "delete", "late")
		d.more("proved", 50)
	}
	if slowest > 9*time.Second {
		t.Errorf("the slowest answer took %v", slowest)
	}
	want := uint64(l.end().Processes)
	r := d.report()
	missing := d.status().Records.MissingLedger
	d.stop()
	lost, doubled := differ(want, groupOf(t, r, "proved").Usage.ProcessesEnded)
	less, more := differ(want, onBill(d.stored(), "proved"))
	if lost+doubled+less+more != 0 {
		t.Errorf("%d made; %+v on the bill; stored lost %d, doubled %d", want, groupOf(t, r, "proved").Usage, less, more)
	}
	row(t, fmt.Sprintf("The state file system frozen for %v", long), times, want, lost, doubled,
		fmt.Sprintf("%d answers, the slowest in %.1f s; watchdog fed; %d without a line", answers, slowest.Seconds(), missing))
}
