// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
	"elsa/pkg/ledger"
	"elsa/test/workload"
)

// elsad is stopped or killed again and again, and a group grows while it is down:
// it has every member by /proc when elsad is back, and no other.
func TestKernelRestart(t *testing.T) {
	needKernel(t)
	restarts := 6
	if soak() {
		restarts = 60
	}
	d := newDaemon(t, t.TempDir(), "--commit-interval", "100ms")
	w := newWitness(t, d)
	d.start(small)
	unwritten := d.unwritten()
	held := d.tree("held")
	l := d.load("proved", nil, "churn", "cbz", "2", "2000")
	held.grow(2)
	stopped := 0
	for i := range restarts {
		held.grow(1)
		if i%3 == 0 {
			stopped++
			w.off++
			d.stop() // which switches accounting off: deaths meanwhile have no line
		} else {
			d.kill()
		}
		held.grow(2)
		d.start(small)
		held.grow(1)
		if diff := cmp.Diff(held.pids(), d.members("held")); diff != "" {
			t.Errorf("restart %d: members (-/proc +elsad):\n%s", i+1, diff)
		}
	}
	held.fell()
	held.in.Close()
	held.cmd.Wait()
	want := l.end()
	d.report()
	r := d.report()
	d.stop()
	st := d.stored()

	got := groupOf(t, r, "held")
	made := uint64(held.made())
	lost, doubled := differ(made, got.Usage.ProcessesEnded)
	if lost+doubled != 0 || got.Usage.ProcessesLive != 0 || got.Usage.ProcessesStarted != made {
		t.Errorf("held: %d made, %+v", made, got.Usage)
	}
	row(t, "Restarts, in order or killed, of a group that grows meanwhile", restarts, made, lost, doubled,
		fmt.Sprintf("%d found in /proc and inferred", got.Precision.Inferred))

	// What was born and died while accounting was off left no trace anywhere.
	_, doubled = differ(uint64(want.Processes), max(uint64(want.Processes), groupOf(t, r, "proved").Usage.ProcessesEnded))
	// Those that died then, and were known, have no line; all others have one.
	lines := unwritten + w.count(st.Meta.Position)
	lost, _ = differ(lines, ended(st))
	if lost+doubled != 0 {
		t.Errorf("%d lines, %d deaths on bills; proved: %d made, %+v", lines, ended(st), want.Processes, groupOf(t, r, "proved").Usage)
	}
	row(t, "… lines of a load that runs on", restarts, lines, lost, doubled,
		fmt.Sprintf("stopped in order %d times: what was born and died then is not known to anyone", stopped))
}

// committed waits until all that is on bills is stored.
func (d *daemon) committed() {
	d.t.Helper()
	// The second commit from now has begun after now.
	const commits = "elsa_commit_duration_seconds_count"
	was := d.metrics()[commits]
	kerneltest.Eventually(d.t, "commits", func() bool { return d.metrics()[commits] >= was+2 })
}

// The machine is started anew: elsad finds another boot id. Those of the last
// boot's members whose lines were written are billed by them, the others, which
// the machine's end took, by their last sample, and none is left.
func TestKernelReboot(t *testing.T) {
	needKernel(t)
	reboots := 2
	if soak() {
		reboots = 20
	}
	d := newDaemon(t, t.TempDir(), "--commit-interval", "100ms")
	w := newWitness(t, d)
	d.start(small)
	unwritten := d.unwritten()
	var made, unlined uint64
	for i := range reboots {
		held := d.tree("held")
		held.grow(10)
		l := d.load("proved", nil, "churn", "cbz", "2", "1000")
		d.report()
		d.committed()
		d.kill()
		// The load goes on for a while and ends, with lines in the ledger that
		// nobody has read. The others stay: to the next boot they are strangers
		// that by chance have the pids and starts of members.
		d.written(20)
		made += uint64(l.end().Processes)
		if err := ledger.SwitchOff(); err != nil {
			t.Fatal(err)
		}
		w.off++
		unlined += uint64(held.made())

		id := filepath.Join(d.dir, "boot_id")
		if err := os.WriteFile(id, fmt.Appendf(nil, "00000000-0000-4000-8000-%012d\n", i), 0o600); err != nil {
			t.Fatal(err)
		}
		d.prefix = []string{"unshare", "--mount", "sh", "-c",
			`mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"`, id}
		d.start(small)
		for _, name := range []string{"held", "proved"} {
			if m := d.members(name); len(m) != 0 {
				t.Errorf("reboot %d: %s still has %v", i+1, name, m)
			}
		}
		held.fell()
		held.in.Close()
		held.cmd.Wait()
	}
	r := d.report()
	d.stop()
	st := d.stored()
	if len(st.Members) != 0 {
		t.Errorf("%d members are stored after their boot", len(st.Members))
	}
	got := groupOf(t, r, "proved").Usage
	lost, doubled := differ(made, got.ProcessesEnded)
	if lost+doubled != 0 || got.ProcessesStarted != made {
		t.Errorf("proved: %d made, %+v; %d unattributed, %d ungrouped", made, got, r.Unattributed.ProcessesEnded, r.Ungrouped.ProcessesEnded)
	}
	row(t, "Reboot: another boot id, with a backlog of the last boot", reboots, made, lost, doubled, "by their lines")
	held := groupOf(t, r, "held").Usage
	lost, doubled = differ(unlined, held.ProcessesEnded)
	if lost+doubled != 0 || held.ProcessesStarted != unlined || held.CPUSeconds == 0 {
		t.Errorf("held: %d made, %+v", unlined, held)
	}
	row(t, "… members that the machine's end took", reboots, unlined, lost, doubled, "without a line, by their last sample")
	// Each elsad leaves the processes that begin and end within its first
	// moments without a line as the first one does; they are not compared.
	if lines := unwritten + unlined + w.count(st.Meta.Position); ended(st) < lines {
		t.Errorf("%d lines and members without, %d deaths on bills", lines, ended(st))
	}
}

// elsad has mounts of its own, as a unit of systemd has, and is killed. They go
// with it, and accounting goes on.
func TestKernelCrashOfUnit(t *testing.T) {
	needKernel(t)
	kills := 4
	if soak() {
		kills = 40
	}
	d := newDaemon(t, t.TempDir(), "--commit-interval", "100ms")
	d.prefix = []string{"unshare", "--mount"}
	w := newWitness(t, d)
	d.start(small)
	unwritten := d.unwritten()
	l := d.load("proved", nil, "churn", "cbz", "2", "1000")
	for range kills {
		d.kill()
		d.written(30)
		d.start(small)
	}
	want := l.end()
	r := d.report()
	d.stop()
	st := d.stored()
	lines := unwritten + w.count(st.Meta.Position)
	got := groupOf(t, r, "proved").Usage
	lost, doubled := differ(uint64(want.Processes), got.ProcessesEnded)
	less, more := differ(lines, ended(st))
	if lost, doubled = lost+less, doubled+more; lost+doubled != 0 {
		t.Errorf("%d made, %d ended; %d lines, %d deaths on bills", want.Processes, got.ProcessesEnded, lines, ended(st))
	}
	row(t, "SIGKILL of a service that has mounts of its own, as under systemd", kills, lines, lost, doubled, "accounting goes on without it")
}

// stepsClock is a test's leave to set the machine's clock: all programs see it.
var stepsClock = kerneltest.Requirement{
	Name: "leave to set the clock", Patched: true, // not asked for by ELSA_KERNEL=require
	Probe: func() error {
		if soak() {
			return nil
		}
		return fmt.Errorf("the wall clock of the whole machine is set forward and back: ELSA_SOAK=1 does")
	},
}

// clockSetter returns what sets the wall clock forward, or back if by is negative. When t
// ends it is set right, to a few microseconds.
func clockSetter(t *testing.T) (set func(by time.Duration)) {
	t.Helper()
	offset := time.Duration(0)
	set = func(by time.Duration) {
		t.Helper()
		now := unix.NsecToTimespec(time.Now().Add(by).UnixNano())
		if err := unix.ClockSettime(unix.CLOCK_REALTIME, &now); err != nil {
			t.Fatal(err)
		}
		offset += by
	}
	t.Cleanup(func() {
		if offset != 0 {
			set(-offset)
		}
	})
	return set
}

// The wall clock is set forward and back. The kernel writes each line's start by
// the wall clock at death, so lines name starts by clocks of before and after.
func TestKernelClockStep(t *testing.T) {
	kerneltest.Need(t, stepsClock)
	needKernel(t)
	const step = 5 * time.Second
	d := newDaemon(t, t.TempDir(), "--commit-interval", "100ms")
	w := newWitness(t, d)
	d.start(small)
	unwritten := d.unwritten()
	held := d.tree("held")
	held.grow(10)
	cg := workload.NewCgroup(t)
	l := d.load("proved", cg, "churn", "cbzod", "2", "1000")
	set := clockSetter(t)
	steps := []time.Duration{step, -step, -step, step}
	for _, by := range steps {
		set(by)
		d.more("proved", 100)
	}
	held.fell()
	want := l.end()
	held.in.Close()
	held.cmd.Wait()
	r := d.report()
	d.stop()
	st := d.stored()
	lines := unwritten + w.count(st.Meta.Position)
	lost, doubled := differ(lines, ended(st))
	for name, made := range map[string]int{"proved": want.Processes, "held": held.made()} {
		g := groupOf(t, r, name)
		less, more := differ(uint64(made), g.Usage.ProcessesEnded)
		if lost, doubled = lost+less, doubled+more; less+more != 0 || g.Precision.Inferred != 0 {
			t.Errorf("%s: %d made, %d ended, %+v", name, made, g.Usage.ProcessesEnded, g.Precision)
		}
	}
	if lost+doubled != 0 {
		t.Errorf("the kernel wrote %d lines and %d deaths are on bills", lines, ended(st))
	}
	note := ""
	if cg != nil {
		got := groupOf(t, r, "proved")
		cpu, billed := cg.CPU(t), time.Duration(got.Usage.CPUSeconds*1e9)
		note = fmt.Sprintf("CPU %.2f %% of the scheduler's count", 100*billed.Seconds()/cpu.Seconds())
		if d := billed - cpu; d.Abs() > cpu/50+50*time.Millisecond {
			t.Errorf("%v of CPU billed, the scheduler counted %v; %+v", billed, cpu, got.Precision)
		}
	}
	row(t, "The wall clock set forward and back by 5 s", len(steps), lines, lost, doubled, note)
}
