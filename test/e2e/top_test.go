// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"elsa/internal/kerneltest"
)

// top shows a busy group as busy, with processes that came and went in between.
func TestKernelTop(t *testing.T) {
	needKernel(t)
	d := start(t)
	d.ctl("group", "create", "busy")
	d.ctl("group", "create", "idle")
	// One CPU is busy in a process that lives, half of another in many that end.
	job := exec.Command("sh", "-c", `read go; (while :; do :; done) & while :; do /bin/true; sleep 0.01; done`)
	in, err := job.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := job.Start(); err != nil {
		t.Fatal(err)
	}
	d.ctl("group", "add", "busy", strconv.Itoa(job.Process.Pid))
	in.Write([]byte("\n"))
	t.Cleanup(func() {
		var g struct{ Members []struct{ PID int } }
		json.Unmarshal([]byte(d.ctl("group", "show", "busy", "-o", "json")), &g)
		job.Process.Kill()
		job.Wait()
		for _, m := range g.Members {
			if p, err := os.FindProcess(m.PID); err == nil {
				p.Kill()
			}
		}
	})
	kerneltest.Eventually(t, "the group is busy", func() bool { return d.report("busy").Groups[0].Usage.ProcessesStarted > 10 })
	var frame struct {
		Seconds float64 `json:"interval_seconds"`
		Rows    []struct {
			Scope, Name string
			Live        uint64  `json:"processes_live"`
			Started     float64 `json:"processes_started_per_second"`
			CPU         float64 `json:"cpu_percent"`
		}
	}
	out := d.ctl("top", "--once", "-d", "1.5", "-o", "json")
	if err := json.Unmarshal([]byte(out), &frame); err != nil {
		t.Fatal(err)
	}
	busy, idle := frame.Rows[0], frame.Rows[1]
	if busy.Name != "busy" || idle.Name != "idle" || frame.Seconds < 1.4 {
		t.Fatalf("frame %s", out)
	}
	// The machine has others to serve, so that a loop may get less than a CPU.
	if busy.CPU < 15 || busy.CPU > 250 || busy.Started < 3 || busy.Live < 2 {
		t.Errorf("the busy group: %+v", busy)
	}
	if idle.CPU != 0 || idle.Live != 0 {
		t.Errorf("the idle group: %+v", idle)
	}
	if last := frame.Rows[len(frame.Rows)-1]; last.Scope != "total" || last.CPU < busy.CPU {
		t.Errorf("the total is %+v", last)
	}
}

// A member that a rule put in is explained by the rule.
func TestKernelExplainRule(t *testing.T) {
	needKernel(t)
	mark := strconv.FormatInt(time.Now().UnixNano(), 36)
	config := filepath.Join(t.TempDir(), "elsa.yaml")
	text := "rules:\n  list:\n    - {group: marked, env: {ELSA_TEST_MARK: " + mark + "}}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d := start(t, "--config", config)
	cmd := exec.Command("sleep", "1000")
	cmd.Env = append(os.Environ(), "ELSA_TEST_MARK="+mark)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	kerneltest.Eventually(t, "the rule applies", func() bool { return len(d.explain(cmd.Process.Pid).Groups) == 1 })
	m := d.explain(cmd.Process.Pid).Groups[0]
	if m.Group != "marked" || len(m.Chain) != 1 || m.Origin == nil || m.Origin.Rule != 3 || m.Origin.UID != nil {
		t.Errorf("%+v, want group marked by the rule in line 3", m)
	}
	if out := d.ctl("explain", strconv.Itoa(cmd.Process.Pid)); !strings.Contains(out, "by the rule in line 3") {
		t.Error(out)
	}
	out, errs, status := d.try("doctor", "--state-dir", filepath.Join(d.dir, "state"))
	if status != 0 || !strings.Contains(out, "on, and elsad's own") {
		t.Errorf("doctor beside a healthy elsad: status %d: %s%s", status, errs, out)
	}
}
