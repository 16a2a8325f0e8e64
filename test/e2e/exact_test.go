// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
	"elsa/test/workload"
)

// run runs the workload in a group and returns what the workload says of itself.
func (d *daemon) workload(group string, args ...string) workload.Truth {
	d.t.Helper()
	return d.workloadAs(group, append([]string{workload.Build(d.t)}, args...)...)
}

// workloadAs is workload with a command that executes it.
func (d *daemon) workloadAs(group string, args ...string) workload.Truth {
	d.t.Helper()
	line := d.ctl(append([]string{"run", "-g", group, "--quiet", "--"}, args...)...)
	truth, err := workload.Parse([]byte(strings.TrimSpace(line)))
	if err != nil {
		d.t.Fatalf("workload %v: %v in %q", args, err, line)
	}
	return truth
}

// CPU on the bill agrees with the scheduler's count, or where there are no control
// groups with what each process measured of itself by its own CPU clock; what a process costs besides burning is on the bill too.
func TestKernelExactCPU(t *testing.T) {
	needKernel(t)
	kerneltest.Need(t, kerneltest.BPF, kerneltest.BTF)
	d := start(t)
	for _, tt := range []struct {
		args  []string
		slack float64 // beyond what was burned, for start and exit
	}{
		{[]string{"burn", "300", "3"}, 0.35},
		{[]string{"burn", "20", "50"}, 0.05},
		{[]string{"threads", "8", "100"}, 0.05},
		{[]string{"threads", "8", "100", "leader-first"}, 0.05},
		// Over such an exec the process's own clock gains some 4 ms that neither the
		// scheduler's count of its control group has nor the bill: burn for long.
		{[]string{"exec-from-thread", "600"}, 0.05},
		{[]string{"killed-shell", "10", "50"}, 0.10},
	} {
		name := strings.Join(tt.args, "-")
		run := append([]string{workload.Build(t)}, tt.args...)
		cg := workload.NewCgroup(t)
		if cg != nil {
			run = cg.Command(run...)
		}
		truth := d.workloadAs(name, run...)
		var u = d.usage(name)
		kerneltest.Eventually(t, name+" has ended", func() bool { u = d.usage(name); return u.Usage.ProcessesLive == 0 })
		burned := truth.Burned.Seconds()
		if cg != nil {
			// On a busy machine a process's own clock gains some milliseconds that the
			// scheduler does not count.
			burned = cg.CPU(t).Seconds()
		}
		// A sampled death is off by some ticks.
		low := burned*0.99 - (burned*0.04+0.01)*float64(u.Precision.Sampled)/float64(u.Usage.ProcessesEnded)
		if got := u.Usage.CPUSeconds; got < low || got > burned*(1+tt.slack)+0.02 {
			t.Errorf("%s: %.4f s of CPU billed, %.4f s burned; precision %+v", name, got, burned, u.Precision)
		}
		if got, want := u.Usage.ProcessesEnded, uint64(truth.Processes); got != want {
			t.Errorf("%s: %d processes ended, want %d", name, got, want)
		}
		// Some virtual machines keep tracing programs from running while their
		// agent is interrupted: a few deaths are sampled there.
		if u.Precision.Sampled > 1+u.Usage.ProcessesEnded/20 || u.Precision.Rounded != 0 {
			t.Errorf("%s: precision %+v, want all %d exact", name, u.Precision, u.Usage.ProcessesEnded)
		}
	}
	if r := d.status().Conservation.Ratio; r < 0.999 || r > 1.01 {
		t.Errorf("conservation ratio %v, want 1", r)
	}
}

// No counter of a group falls from one scrape to the next while processes come
// and go and move between groups.
func TestKernelCountersNeverFall(t *testing.T) {
	needKernel(t)
	d := start(t)
	stop := filepath.Join(t.TempDir(), "stop")
	var loads []*exec.Cmd
	for _, name := range []string{"a", "b"} {
		// Short processes, threads and one that lives on while others wait.
		load := d.ctlCommand("run", "-g", name, "--quiet", "--", "sh", "-c", fmt.Sprintf(
			`while [ ! -e %s ]; do %s threads 3 5 >/dev/null; %s burn 3 2 >/dev/null; i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; done`,
			stop, workload.Build(t), workload.Build(t)))
		if err := load.Start(); err != nil {
			t.Fatal(err)
		}
		loads = append(loads, load)
	}
	t.Cleanup(func() {
		os.WriteFile(stop, nil, 0o600)
		for _, l := range loads {
			l.Wait()
		}
	})
	mover := exec.Command(workload.Build(t), "hold", "10")
	in, err := mover.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := mover.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); mover.Wait() })
	kerneltest.Eventually(t, "the groups exist", func() bool {
		_, _, st := d.try("usage", "a", "b")
		return st == 0
	})

	last := map[string]float64{}
	moves := 0
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		for line := range strings.Lines(d.scrape()) {
			series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			if !strings.HasPrefix(series, "elsa_group_") || !strings.Contains(series, "_total{") {
				continue
			}
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatalf("scrape: %v in %q", err, line)
			}
			if v < last[series] {
				t.Errorf("scrape %d: %s fell from %v to %v", i, series, last[series], v)
			}
			last[series] = v
		}
		if rnd.IntN(10) == 0 {
			to := []string{"a", "b"}[moves%2]
			d.ctl("group", "add", to, strconv.Itoa(mover.Process.Pid), "--move")
			moves++
		}
		time.Sleep(time.Duration(rnd.IntN(8)) * time.Millisecond) // sleep: scrapes at odd moments
	}
	if len(last) < 16 {
		t.Errorf("only %d series of groups", len(last))
	}
	t.Logf("%d series in 200 scrapes, %d moves, %v CPU seconds in a", len(last), moves, last[`elsa_group_cpu_seconds_total{group="a",mode="user"}`])
}

// A taskstats buffer that overflows costs precision, not deaths.
func TestKernelTaskstatsLoss(t *testing.T) {
	needKernel(t)
	d := start(t, "--exact", "off", "--taskstats-buffer", "4096")
	truth := d.workload("a", "storm", "4000", "2")
	u := d.usage("a")
	if got, want := u.Usage.ProcessesEnded, uint64(truth.Processes); got != want {
		t.Errorf("%d processes ended, want %d", got, want)
	}
	s := d.status()
	if s.Records.TaskstatsLost == 0 {
		t.Error("no loss was counted: the test did not test anything")
	}
	if u.Precision.Rounded == 0 || u.Precision.Rounded+u.Precision.Sampled != u.Usage.ProcessesEnded {
		t.Errorf("precision %+v of %d deaths: want those that lost their record rounded", u.Precision, u.Usage.ProcessesEnded)
	}
	t.Logf("%d taskstats records lost, %d deaths rounded", s.Records.TaskstatsLost, u.Precision.Rounded)
}

// The kernel suspends accounting when the disk is nearly full. The bill goes on
// without it, and nothing is doubled when it resumes.
func TestKernelSuspended(t *testing.T) {
	needKernel(t)
	disk := t.TempDir()
	kerneltest.Mount(t, "elsa-test", disk, "tmpfs", "size=64m")
	// Look at the space each second instead of every 30.
	kerneltest.Sysctl(t, "kernel/acct", "4 2 1\n")

	d := &daemon{t: t, dir: disk}
	d.start()
	t.Cleanup(func() {
		if d.running() {
			d.stop()
		}
	})
	// A process in the group that makes one child for each line it reads.
	load := d.ctlCommand("run", "-g", "a", "--quiet", "--", "sh", "-c", `while read line; do /bin/true; echo done; done`)
	in, _ := load.StdinPipe()
	out, _ := load.StdoutPipe()
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); load.Wait() })
	answers := bufio.NewReader(out)
	made := uint64(0)
	child := func() {
		fmt.Fprintln(in)
		if _, err := answers.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		made++
	}
	child()

	filler := filepath.Join(disk, "filler")
	fill, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	defer fill.Close()
	chunk := make([]byte, 64<<10)
	for {
		var fs unix.Statfs_t
		if err := unix.Statfs(disk, &fs); err != nil {
			t.Fatal(err)
		}
		if fs.Bavail*100 < fs.Blocks*3/2 {
			break // 1.5 %: below the limit, and room for the database
		}
		if _, err := fill.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	kerneltest.Eventually(t, "status says suspended", func() bool {
		for range 20 {
			child()
		}
		d.usage("a")
		sources := d.status().Sources
		if sources.Suspended && (!strings.Contains(sources.SuspendedCause, "nearly full") || time.Since(sources.SuspendedSince) > time.Minute) {
			t.Errorf("since %v: %s", sources.SuspendedSince, sources.SuspendedCause)
		}
		return sources.Suspended
	})
	if text := d.scrape(); !strings.Contains(text, "\nelsa_accounting_suspended 1\n") {
		t.Error("the metric does not say that accounting is suspended")
	}
	for range 50 {
		child()
	}
	kerneltest.Eventually(t, "every death is counted while suspended", func() bool { return d.usage("a").Usage.ProcessesEnded == made })

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	fill.Close()
	kerneltest.Eventually(t, "accounting goes on", func() bool {
		for range 20 {
			child()
		}
		d.usage("a")
		return !d.status().Sources.Suspended
	})
	in.Close()
	load.Wait()
	kerneltest.Eventually(t, "the shell is on the bill", func() bool { return d.usage("a").Usage.ProcessesEnded >= made+1 })
	if got := d.usage("a").Usage.ProcessesEnded; got != made+1 {
		t.Errorf("%d processes ended, want %d", got, made+1)
	}
	t.Logf("%d deaths, %d of them without a line", made+1, d.status().Records.MissingLedger)
}
