// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
)

// The shell itself, the seq of the command substitution, and 500 times true.
// dash executes seq in the substitution's own subshell.
const trues = 500

var loop = fmt.Sprintf("for i in $(seq %d); do /bin/true; done", trues)

func TestKernelEveryShortProcessIsCounted(t *testing.T) {
	needKernel(t)
	d := start(t)
	for i := range 3 {
		name := "a" + strconv.Itoa(i)
		d.ctl("run", "-g", name, "--quiet", "--", "sh", "-c", loop)
		u := d.usage(name)
		if got, want := u.Usage.ProcessesEnded, uint64(trues+2); got != want {
			t.Errorf("run %d: %d processes ended, want %d", i, got, want)
		}
		if u.Usage.ProcessesStarted != u.Usage.ProcessesEnded || u.Usage.ProcessesLive != 0 {
			t.Errorf("run %d: started %d, ended %d, live %d: want them to agree", i,
				u.Usage.ProcessesStarted, u.Usage.ProcessesEnded, u.Usage.ProcessesLive)
		}
		if u.Usage.CPUSeconds <= 0 || u.Usage.MinorFaults == 0 || u.Usage.MaxRSSBytes == 0 {
			t.Errorf("run %d: empty bill: %+v", i, u.Usage)
		}
	}
	if s := d.status(); s.Events.Lost != 0 || s.Records.MissingLedger != 0 {
		t.Errorf("events lost %d, deaths without a line %d; want none", s.Events.Lost, s.Records.MissingLedger)
	}
}

func TestKernelDaemonStaysInItsGroup(t *testing.T) {
	needKernel(t)
	d := start(t)
	pidFile := filepath.Join(t.TempDir(), "pid")
	// Double fork and setsid: the daemon's parents are gone before it works.
	script := `( setsid sh -c 'echo $$ >` + pidFile + `.new; mv ` + pidFile + `.new ` + pidFile + `
		while kill -0 ` + strconv.Itoa(os.Getpid()) + ` && [ ! -e ` + pidFile + `.end ]; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; done' >/dev/null 2>&1 & )`
	d.ctl("run", "-g", "a", "--quiet", "--", "sh", "-c", script)
	var pid int
	kerneltest.Eventually(t, "daemon writes its pid", func() bool {
		text, err := os.ReadFile(pidFile)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil
	})
	t.Cleanup(func() { unix.Kill(pid, unix.SIGKILL) })
	if out := d.ctl("group", "show", "a", "-o", "json"); !strings.Contains(out, fmt.Sprintf(`"pid": %d`, pid)) && !strings.Contains(out, fmt.Sprintf(`"pid":%d`, pid)) {
		t.Errorf("daemon %d is not a member of its group: %s", pid, out)
	}
	before := d.usage("a").Usage
	if before.ProcessesLive != 1 {
		t.Errorf("%d live processes, want the daemon alone", before.ProcessesLive)
	}
	kerneltest.Eventually(t, "the live daemon's CPU shows", func() bool {
		return d.usage("a").Usage.CPUSeconds > before.CPUSeconds+0.3
	})
	live := d.usage("a").Usage
	if err := os.WriteFile(pidFile+".end", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	kerneltest.Eventually(t, "daemon ends", func() bool { return d.usage("a").Usage.ProcessesLive == 0 })
	if after := d.usage("a").Usage; after.CPUSeconds < live.CPUSeconds {
		t.Errorf("CPU fell from %v to %v when the daemon ended", live.CPUSeconds, after.CPUSeconds)
	}
}

func TestKernelScrape(t *testing.T) {
	needKernel(t)
	d := start(t)
	d.ctl("run", "-g", "a", "--quiet", "--", "sh", "-c", loop)
	d.usage("a")
	text := d.scrape()
	if !strings.Contains(text, `elsa_group_cpu_seconds_total{group="a",mode="user"} `) {
		t.Errorf("no CPU of group a in the scrape:\n%.2000s", text)
	}
	if want := fmt.Sprintf(`elsa_group_processes_ended_total{group="a"} %d`, trues+2); !strings.Contains(text, want) {
		t.Errorf("no line %q in the scrape", want)
	}
	check := exec.Command("promtool", "check", "metrics")
	check.Stdin = strings.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(out) != 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// A load runs through five crashes. The shell prints how many children it made,
// the independent count.
func TestKernelTotalsContinueAfterCrash(t *testing.T) {
	needKernel(t)
	d := start(t)
	stop := filepath.Join(t.TempDir(), "stop")
	load := d.ctlCommand("run", "-g", "a", "--quiet", "--", "sh", "-c",
		`n=0; while [ ! -e `+stop+` ]; do /bin/true; n=$((n+1)); done; echo $n`)
	out, err := load.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { load.Process.Kill(); load.Wait() })
	kerneltest.Eventually(t, "the group exists", func() bool { _, _, st := d.try("group", "show", "a"); return st == 0 })
	last := 0.0
	for i := range 4 {
		time.Sleep(time.Duration(300+170*i) * time.Millisecond) // sleep: crashes at odd moments of the commit interval
		d.kill()
		d.start()
		u := d.usage("a")
		if u.Usage.CPUSeconds < last {
			t.Errorf("crash %d: CPU fell from %v to %v", i, last, u.Usage.CPUSeconds)
		}
		last = u.Usage.CPUSeconds
		r := d.status().Records
		t.Logf("crash %d: %d ended, %d started, %d live, joined %v, missing %d", i, u.Usage.ProcessesEnded, u.Usage.ProcessesStarted, u.Usage.ProcessesLive, r.Joined, r.MissingLedger)
	}
	if err := os.WriteFile(stop, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	children, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	load.Wait()
	u := d.usage("a")
	if got, want := u.Usage.ProcessesEnded, uint64(children+1); got != want {
		t.Errorf("%d processes ended, want %d: %d lost (negative: counted twice)", got, want, int64(want-got))
	}
	t.Logf("%d processes through 4 crashes, %d of them inferred", u.Usage.ProcessesEnded, u.Precision.Inferred)
}
