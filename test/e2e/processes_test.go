// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"os/exec"
	"testing"

	"elsa/internal/kerneltest"
)

// The rows of a group are its processes and add up to its bill, a moment after these
// ended, also after a crash: none is lost and none is there twice.
func TestKernelProcesses(t *testing.T) {
	needKernel(t)
	archive := t.TempDir()
	d := start(t, "--journal", "on", "--archive-dir", archive)
	run := func(n string) {
		d.ctl("run", "-g", "ci", "--quiet", "--", "sh", "-c", "for i in $(seq "+n+"); do /bin/true; done; (kill -9 $(exec sh -c 'echo $PPID')); (exit 3); exit 0")
	}
	check := func(when string) {
		t.Helper()
		bill := d.usage("ci").Usage
		var ended uint64
		var cpu, elapsed float64
		ok := func() bool {
			ended, cpu, elapsed = 0, 0, 0
			var all []map[string]any
			if err := json.Unmarshal([]byte(d.ctl("processes", "--group", "ci", "-o", "json", "--archive-dir", archive)), &all); err != nil {
				t.Fatal(err)
			}
			seen := map[float64]bool{}
			for _, r := range all {
				n := func(name string) float64 { v, _ := r[name].(float64); return v }
				if seen[n("seq")] {
					t.Fatalf("%s: row %v is there twice", when, n("seq"))
				}
				seen[n("seq")] = true
				if n("part") == 0 {
					ended++
				}
				cpu += (n("cpu_user_ns") + n("cpu_system_ns")) / 1e9
				elapsed += n("elapsed_ns") / 1e9
				if r["user_name"] != "root" || n("parent_started_ns") == 0 {
					t.Errorf("%s: row %v", when, r)
				}
			}
			return ended == bill.ProcessesEnded && math.Abs(cpu-bill.CPUSeconds) < 1e-7 && math.Abs(elapsed-bill.ElapsedSeconds) < 1e-7
		}
		kerneltest.Eventually(t, when+", rows that are the bill", ok)
		t.Logf("%s: %d processes, %v s CPU", when, ended, cpu)
	}
	run("20")
	check("at once")
	d.kill()
	d.start()
	run("5")
	check("after a crash")
}

// A daemon that forked twice away, in a session of its own, is found by --tree of its
// grandparent: its row names who forked it, not who reaps it. It was in no group.
func TestKernelTree(t *testing.T) {
	needKernel(t)
	archive := t.TempDir()
	d := start(t, "--journal", "on", "--archive-dir", archive)
	cmd := exec.Command("sh", "-c", `(setsid sh -c 'sleep 0.2; cp /dev/null /dev/null; exit 7' </dev/null >/dev/null 2>&1 &); exit 0`)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	type row struct {
		PID, PPID     int
		Command       string
		Status        int
		Started       int64 `json:"started_ns"`
		ParentStarted int64 `json:"parent_started_ns"`
	}
	byPID := map[int]row{}
	kerneltest.Eventually(t, "a tree with the daemon and its child", func() bool {
		var list []row
		if err := json.Unmarshal([]byte(d.ctl("processes", "--tree", fmt.Sprint(cmd.Process.Pid), "-o", "json", "--archive-dir", archive)), &list); err != nil {
			t.Fatal(err)
		}
		daemon, child := false, false
		for _, r := range list {
			byPID[r.PID] = r
			daemon = daemon || r.Status == 7<<8
			child = child || r.Command == "cp"
		}
		return daemon && child
	})
	for _, r := range byPID {
		if r.PID == cmd.Process.Pid {
			continue
		}
		if p, ok := byPID[r.PPID]; !ok || p.Started != r.ParentStarted {
			t.Errorf("%+v: its parent in the tree is %+v", r, p)
		}
	}
	if len(byPID) != 5 { // the shell, the one that ends at once, the daemon, sleep, cp
		t.Errorf("%d processes: %+v", len(byPID), byPID)
	}
}
