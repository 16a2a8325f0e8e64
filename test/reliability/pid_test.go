// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
	"elsa/pkg/proc"
	"elsa/test/workload"
)

// Pids are used again several times a second, under a load in a group that an
// orphan keeps alive.
func TestKernelPidWrap(t *testing.T) {
	needKernel(t)
	wanted := 4
	if soak() {
		wanted = 300
	}
	d := newDaemon(t, t.TempDir(), "--commit-interval", "200ms")
	w := newWitness(t, d)
	d.start(small)
	unwritten := d.unwritten()
	// An orphan: its parent is gone when elsactl returns.
	var orphan int
	fmt.Sscan(d.ctl("run", "-g", "wrap", "--quiet", "--", "sh", "-c", `sleep 1000 >/dev/null 2>&1 & echo $!`), &orphan)
	t.Cleanup(func() { unix.Kill(orphan, unix.SIGKILL) })

	// The next pid starts over from 300. What has a higher one keeps it.
	const pidMax = 2000
	kerneltest.Sysctl(t, "kernel/pid_max", strconv.Itoa(pidMax))
	cg := workload.NewCgroup(t)
	l := d.load("wrap", cg, "churn", "cbzod", "2", "300")
	before := forks(t)
	stop := overrun(t)
	wraps := func() int { return int(forks(t)-before) / (pidMax - 300) }
	for n := range wanted {
		kerneltest.Eventually(t, "all pids are used once more", func() bool { return wraps() > n })
	}
	stop()
	tried := wraps()
	want := l.end()
	r := d.report()
	got := groupOf(t, r, "wrap")
	if m := d.members("wrap"); !slices.Equal(m, []int{orphan}) {
		t.Errorf("members %v, want the orphan %d", m, orphan)
	}
	s := d.status()
	d.stop()
	st := d.stored()

	lines := unwritten + w.count(st.Meta.Position)
	lost, doubled := differ(lines, ended(st))
	if lost+doubled != 0 {
		t.Errorf("the kernel wrote %d lines and %d deaths are on bills: %d lost, %d doubled", lines, ended(st), lost, doubled)
	}
	row(t, "kernel.pid_max lowered, pids used again and again", tried, lines, lost, doubled, "tried: times through all pids")
	made := uint64(want.Processes) + 1 // the orphan's parent
	lost, doubled = differ(made, got.Usage.ProcessesEnded)
	if lost+doubled != 0 || s.Events.Lost != 0 || got.Precision.Inferred != 0 {
		t.Errorf("%d made, %d ended, %d inferred; %d events lost", made, got.Usage.ProcessesEnded, got.Precision.Inferred, s.Events.Lost)
	}
	note := "the orphan is its last member"
	if cg != nil {
		cpu, billed := cg.CPU(t), time.Duration(got.Usage.CPUSeconds*1e9)
		note += fmt.Sprintf("; CPU %.2f %% of the scheduler's count", 100*billed.Seconds()/cpu.Seconds())
		if d := billed - cpu; d.Abs() > cpu/50+50*time.Millisecond {
			t.Errorf("%v of CPU billed, the scheduler counted %v; %+v", billed, cpu, got.Precision)
		}
	}
	row(t, "… a group's deaths meanwhile", tried, made, lost, doubled, note)
}

func forks(t testing.TB) uint64 {
	t.Helper()
	n, err := proc.Default.Forks()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A pid is used again the moment it is free, by turns in two groups and in none.
// Each child is on the bill of the group it was born in, with its own CPU time.
func TestKernelPidReuse(t *testing.T) {
	t.Run("events", func(t *testing.T) { pidReuse(t, "A pid used again at once, in another group", nil, false) })
	// It takes thousands to see what hardly ever happens.
	if soak() {
		t.Run("lost", func(t *testing.T) {
			pidReuse(t, "… with its exit and the next fork lost, all the time", []string{"--event-buffer", "4096", "--source", "proc"}, true)
		})
		// By BPF both are told to the nanosecond, also after loss.
		t.Run("lost by BPF", func(t *testing.T) {
			kerneltest.Need(t, kerneltest.BTF, kerneltest.BPF)
			pidReuse(t, "… the same, by BPF", []string{"--event-buffer", "4096", "--source", "bpf"}, true)
		})
	}
}

// pidReuse uses pids again. When the exits and forks in between are lost, what
// cannot be proved is unattributed; and lives of a pid that begin within the same
// hundredth of a second in /proc, or the same second in the ledger, cannot always
// be told apart: one may be taken for the other, together with what it forks.

func pidReuse(t *testing.T, what string, args []string, lossy bool) {
	needKernel(t)
	byBPF := slices.Contains(args, "bpf")
	rounds := 150
	if soak() {
		rounds = 1500
	}
	d := newDaemon(t, t.TempDir(), append(args, "--commit-interval", "200ms")...)
	w := newWitness(t, d)
	d.start(small)
	unwritten := d.unwritten()
	a, b, none := d.spawner("a", 4), d.spawner("b", 1), d.spawner("", 2)
	stop := func() {}
	if lossy {
		stop = overrun(t)
	}
	next := func(s *spawner, pid int) int {
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0); err != nil {
			t.Fatal(err)
		}
		return s.one()
	}
	reused, pid := 0, a.one()
	for range rounds {
		for _, s := range []*spawner{b, none, a} {
			got := next(s, pid)
			if got == pid {
				reused++
			}
			pid = got
		}
	}
	if reused < rounds/2 {
		t.Errorf("%d pids were used again in %d tries", reused, 3*rounds)
	}
	want := map[string]float64{}
	made := map[string]uint64{}
	for name, s := range map[string]*spawner{"a": a, "b": b} {
		truth := s.end()
		made[name], want[name] = uint64(truth.Processes), truth.Burned.Seconds()
	}
	none.end()
	stop()
	d.report()
	r := d.report()
	s := d.status()
	d.stop()
	st := d.stored()
	lines := unwritten + w.count(st.Meta.Position)
	less, more := differ(lines, ended(st))
	if less+more != 0 && !lossy || less+more > lines/10000 {
		t.Errorf("the kernel wrote %d lines and %d deaths are on bills", lines, ended(st))
	}
	if (s.Events.Lost > 0) != lossy {
		t.Errorf("%d events lost", s.Events.Lost)
	}
	var all, lost, doubled uint64
	var notes []string
	unattributed := r.Unattributed.ProcessesEnded
	for _, name := range []string{"a", "b"} {
		g := groupOf(t, r, name)
		less, more := differ(made[name], g.Usage.ProcessesEnded)
		if lossy {
			placed := min(less, unattributed)
			less, unattributed = less-placed, unattributed-placed
		}
		// What starts and ends a process is on its bill too, but burned at most a
		// part of a millisecond.
		cpu := g.Usage.CPUSeconds
		high := want[name]*1.05 + 0.0005*float64(made[name])
		misplaced := uint64(0)
		if lossy && !byBPF { // of the strangers that live and die meanwhile
			misplaced = lines / 200
		}
		if byBPF {
			high = cpu // most exact records are lost too, and the tick says what it will
		}
		if less+more > misplaced || g.Usage.ProcessesLive != 0 || cpu > high || !lossy && cpu < want[name]*0.98 {
			t.Errorf("%s: %d made, %d ended, %d live; %.3f s of CPU, %.3f s burned; %d unattributed; %+v", name, made[name],
				g.Usage.ProcessesEnded, g.Usage.ProcessesLive, cpu, want[name], r.Unattributed.ProcessesEnded, g.Precision)
		}
		if !lossy && g.Precision.Inferred != 0 {
			t.Errorf("%s: %d inferred", name, g.Precision.Inferred)
		}
		all, lost, doubled = all+made[name], lost+less, doubled+more
		notes = append(notes, fmt.Sprintf("%s: %d on the bill, %.2f s of %.2f s burned", name, g.Usage.ProcessesEnded, cpu, want[name]))
	}
	if lost+doubled > 0 {
		notes = append(notes, fmt.Sprintf("lives of a pid in one second cannot always be told apart, nor whose the children are: of %d strangers' deaths that many are on these bills; of all lines %d were lost and %d doubled",
			lines-all, less, more))
	}
	row(t, what, reused, all, lost, doubled, strings.Join(notes, "; "))
}
