// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/archive"
	"elsa/internal/kerneltest"
	"elsa/pkg/client"
	"elsa/test/workload"
)

// filled is what elsactl group fill says.
type filled struct {
	Processes uint64
	Rows      uint64
	CPU       float64 `json:"cpu_seconds"`
	Had       uint64
	Exact     uint64
	Unsettled uint64
	Added     []int
	Complete  bool
	Since     time.Time `json:"complete_since"`
	DryRun    bool      `json:"dry_run"`
}

// archived is an elsad with an archive, of which a test may set how long segments are and
// how many rows a group takes at once.
func archived(t *testing.T, sizes string) (d *daemon, dir string) {
	t.Helper()
	built := t.TempDir()
	if out, err := exec.Command("go", "build", "-tags", "fault", "-o", built+"/", "elsa/cmd/elsad", "elsa/cmd/elsa-archive", "elsa/cmd/elsactl").CombinedOutput(); err != nil {
		t.Fatalf("build with faults: %v\n%s", err, out)
	}
	was := bin
	bin = built
	t.Cleanup(func() { bin = was })
	t.Setenv("ELSA_FAULT_SIZES", sizes)
	dir = t.TempDir()
	return start(t, "--journal", "on", "--archive-dir", dir), dir
}

// fill runs elsactl group fill.
func (d *daemon) fill(dir string, args ...string) (f filled) {
	d.t.Helper()
	out := d.ctl(append([]string{"group", "fill", "--archive-dir", dir, "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &f); err != nil {
		d.t.Fatalf("%v: %s", err, out)
	}
	return f
}

// pastTree runs a tree of so many processes that is in no group, and returns it as --tree
// names it, with what the scheduler counted of its control group, 0 without one.
func pastTree(t *testing.T, processes, ms int) (tree string, cpu time.Duration) {
	t.Helper()
	args := []string{"sh", "-c", `"$0" burn ` + fmt.Sprint(processes-2) + ` ` + fmt.Sprint(ms) + `; exit 0`, workload.Build(t)}
	cg := workload.NewCgroup(t)
	if cg != nil {
		args = cg.Command(args...)
	}
	began := time.Now()
	cmd := exec.Command(args[0], args[1:]...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if cg != nil {
		cpu = cg.CPU(t)
	}
	return fmt.Sprintf("%d@%d", cmd.Process.Pid, began.UnixNano()), cpu
}

// stepDay sets the wall clock of the machine a day ahead until t ends.
func stepDay(t *testing.T) {
	t.Helper()
	set := func(by time.Duration) {
		now := unix.NsecToTimespec(time.Now().Add(by).UnixNano())
		if err := unix.ClockSettime(unix.CLOCK_REALTIME, &now); err != nil {
			t.Fatal(err)
		}
	}
	set(24 * time.Hour)
	t.Cleanup(func() { set(-24 * time.Hour) })
}

// sealSome seals a part of the journal, if it settles soon: a process of somebody else's
// that is dead and not waited for holds that up.
func sealSome(t *testing.T, d *daemon, dir string) {
	t.Helper()
	for range 5 {
		exec.Command("sh", "-c", "for i in 1 2 3; do /bin/true; done").Run()
		d.ctl("usage", "--wait")
		if _, err := archive.Seal(dir); err != nil {
			t.Fatal(err)
		}
		if files, err := archive.Files(dir); err != nil || len(files) > 0 {
			t.Logf("%d files are sealed: %v", len(files), err)
			return
		}
	}
	t.Log("nothing is sealed: all is read from the journal")
}

// A tree of 2,000 processes that was in no group is billed afterwards, of the sealed
// archive and of the journal, as its control group counted it. No total changes, nothing
// is taken twice, and it stays over a crash.
func TestKernelFill(t *testing.T) { testFill(t, func() {}) }

// So it is a day later.
func TestKernelFillYesterday(t *testing.T) {
	kerneltest.Need(t, kerneltest.Requirement{Name: "leave to set the clock", Patched: true, Probe: func() error {
		if kerneltest.Soak() {
			return nil
		}
		return fmt.Errorf("the wall clock of the whole machine is set a day ahead and back: ELSA_SOAK=1 does")
	}})
	testFill(t, func() { stepDay(t) })
}

func testFill(t *testing.T, wait func()) {
	needKernel(t)
	const processes = 2000
	d, dir := archived(t, "rows=700,fill=300")
	tree, cpu := pastTree(t, processes, 5)
	d.ctl("usage", "--wait") // rows have the times of the clock by which they were written
	wait()
	sealSome(t, d, dir)
	dry := d.fill(dir, "past/tree", "--tree", tree, "--dry-run")
	if !dry.DryRun || dry.Processes != processes || strings.Contains(d.ctl("group", "list"), "past/tree") {
		t.Errorf("a dry run would take %+v", dry)
	}
	begin := d.report()
	took := d.fill(dir, "past/tree", "--tree", tree)
	end := d.report()
	if took.Processes != processes || took.Unsettled != 0 || !took.Complete || took.Since.After(time.Now()) {
		t.Errorf("it took %+v, a dry run said %+v", took, dry)
	}
	check := func(when string) {
		t.Helper()
		g := d.usage("past/tree")
		if g.Usage.ProcessesEnded != processes || g.Usage.ProcessesStarted != processes || g.Usage.ProcessesLive != 0 {
			t.Errorf("%s: %d processes ended, %d began, want %d", when, g.Usage.ProcessesEnded, g.Usage.ProcessesStarted, processes)
		}
		p := g.Precision
		if p.Exact+p.Sampled+p.Rounded != processes {
			t.Errorf("%s: precision %+v", when, p)
		}
		if cpu > 0 && p.Exact >= processes*99/100 {
			off := g.Usage.CPUSeconds/cpu.Seconds() - 1
			t.Logf("%s: %.6f s billed, %.6f s counted by the scheduler: %+.4f %%", when, g.Usage.CPUSeconds, cpu.Seconds(), 100*off)
			if math.Abs(off) > 0.001 {
				t.Errorf("%s: the bill is off by %.4f %%", when, 100*off)
			}
		}
		if math.Abs(g.Usage.CPUSeconds-took.CPU) > 1e-6 {
			t.Errorf("%s: %v s billed, %v s taken", when, g.Usage.CPUSeconds, took.CPU)
		}
	}
	check("at once")
	// What ran meanwhile is all that totals gained: no such tree.
	if more := end.Total.ProcessesEnded - begin.Total.ProcessesEnded; more >= processes {
		t.Errorf("the total gained %d processes", more)
	}
	if end.AnyGroup.ProcessesEnded != begin.AnyGroup.ProcessesEnded || end.Ungrouped.ProcessesEnded < begin.Ungrouped.ProcessesEnded {
		t.Errorf("any group had %d processes and has %d", begin.AnyGroup.ProcessesEnded, end.AnyGroup.ProcessesEnded)
	}
	if again := d.fill(dir, "past/tree", "--tree", tree); again.Rows != 0 || again.Had != took.Rows {
		t.Errorf("the second time it took %+v", again)
	}
	// An expression that holds for most of them, in another group: together they count once.
	_, at, _ := strings.Cut(tree, "@")
	var ns int64
	fmt.Sscan(at, &ns)
	where := d.fill(dir, "past/where", "--where", `command startsWith "workload" and cpu_seconds > 0.004`, "--since", time.Unix(0, ns).UTC().Format(time.RFC3339))
	if where.Processes < processes*9/10 {
		t.Errorf("the expression holds for %+v", where)
	}
	var both client.UsageReport
	if err := json.Unmarshal([]byte(d.ctl("usage", "past/", "-o", "json")), &both); err != nil {
		t.Fatal(err)
	}
	if n := both.Parents[0].Usage.ProcessesEnded; n != processes {
		t.Errorf("both groups together have %d processes, want %d", n, processes)
	}
	d.kill()
	d.start()
	check("after a crash")
	var r client.Report
	if err := json.Unmarshal([]byte(d.ctl("report", "--group", "past/tree", "--by", "command", "--since", "3d", "-o", "json")), &r); err != nil {
		t.Fatal(err)
	}
	if r.Total.Processes != processes || math.Abs(r.Total.CPUSeconds-took.CPU) > 1e-6 {
		t.Errorf("the report has %d processes and %v s, want %d and %v", r.Total.Processes, r.Total.CPUSeconds, processes, took.CPU)
	}
	d.ctl("group", "delete", "past/tree")
	if anew := d.fill(dir, "past/tree", "--tree", tree); anew.Processes != processes {
		t.Errorf("after the group was deleted it took %+v", anew)
	}
}

// elsad is killed while a group takes the past, before the commit and after it: asked
// again, the group has each process once.
func TestKernelFillKilled(t *testing.T) {
	needKernel(t)
	d, dir := archived(t, "rows=100,fill=40")
	tree, _ := pastTree(t, 300, 0)
	d.ctl("usage", "--wait")
	for i, point := range []string{"fill.taken", "fill.committed"} {
		name := fmt.Sprint("killed/", i)
		d.stop()
		d.alter = func(cmd *exec.Cmd) { cmd.Env = append(os.Environ(), "ELSA_FAULT="+point+"=kill@3") }
		d.start()
		_, said, status := d.try("group", "fill", name, "--archive-dir", dir, "--tree", tree)
		if status != 1 || !strings.Contains(said, "ask again") {
			t.Errorf("%s: status %d: %s", point, status, said)
		}
		<-d.exited
		d.alter = nil
		d.start()
		had := d.usage(name).Usage.ProcessesEnded
		if want := uint64(80 + 40*i); had != want {
			t.Errorf("%s: it took %d processes before, want %d", point, had, want)
		}
		took := d.fill(dir, name, "--tree", tree)
		if g := d.usage(name); g.Usage.ProcessesEnded != 300 || took.Processes != 300-had {
			t.Errorf("%s: it has %d processes, and took %d of them again, want 300 and %d", point, g.Usage.ProcessesEnded, took.Processes, 300-had)
		}
	}
}

// With --live, what still runs of a tree is added with what it has used, and counts once
// when it ends.
func TestKernelFillLive(t *testing.T) {
	needKernel(t)
	d, dir := archived(t, "rows=1000")
	began := time.Now()
	file := filepath.Join(t.TempDir(), "pid")
	cmd := exec.Command("sh", "-c", `for i in 1 2 3 4 5; do /bin/true; done; (setsid sh -c 'i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; echo $$ > "$0.tmp"; mv "$0.tmp" "$0"; exec sleep 600' "$0" </dev/null >/dev/null 2>&1 &); exit 0`, file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pid := 0
	kerneltest.Eventually(t, "the daemon sleeps, and mv has ended", func() bool {
		text, _ := os.ReadFile(file)
		fmt.Sscan(string(text), &pid)
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		return string(comm) == "sleep\n"
	})
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
	took := d.fill(dir, "live", "--tree", fmt.Sprintf("%d@%d", cmd.Process.Pid, began.UnixNano()), "--live")
	g := d.usage("live").Usage
	ended := g.ProcessesEnded // the shell, the one between, five of true, mv
	if len(took.Added) != 1 || took.Added[0] != pid || ended != took.Processes || g.ProcessesLive != 1 || ended != 8 {
		t.Errorf("it took %+v, and the group has %+v", took, g)
	}
	before := g.CPUSeconds
	if before < 0.005 {
		t.Errorf("%v s billed, less than the daemon has used", before)
	}
	syscall.Kill(pid, syscall.SIGKILL)
	kerneltest.Eventually(t, "the daemon has ended", func() bool { g = d.usage("live").Usage; return g.ProcessesLive == 0 })
	if again := d.fill(dir, "live", "--tree", fmt.Sprintf("%d@%d", cmd.Process.Pid, began.UnixNano())); again.Rows != 0 {
		t.Errorf("after its end it took %+v", again)
	}
	if now := d.usage("live").Usage; now.ProcessesEnded != ended+1 || now.CPUSeconds > before*1.5+0.05 {
		t.Errorf("in the end the group has %+v; it had %v s", now, before)
	}
}
