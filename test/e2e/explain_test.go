// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"elsa/internal/kerneltest"
	"elsa/pkg/client"
)

func (d *daemon) explain(pid int) (e client.Explanation) {
	d.t.Helper()
	if err := json.Unmarshal([]byte(d.ctl("explain", strconv.Itoa(pid), "-o", "json")), &e); err != nil {
		d.t.Fatal(err)
	}
	return e
}

// A process is explained by its forks, dead ancestors included, up to the one
// that was added; over a restart too. After a crash what cannot be known is said
// to be unknown, and the origin is still named.
func TestKernelExplain(t *testing.T) {
	needKernel(t)
	d := start(t)
	d.ctl("group", "create", "g")

	// top waits, middle forks and ends, leaf lives on.
	cmd := exec.Command("sh", "-c", `read go; sh -c 'sleep 1000 & echo $!; exec 2>&-; echo $$' & wait; read end`)
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	number := func() int {
		t.Helper()
		if !lines.Scan() {
			t.Fatal("the workload says nothing")
		}
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	top := cmd.Process.Pid
	d.ctl("group", "add", "g", strconv.Itoa(top))
	in.Write([]byte("\n"))
	leaf, middle := number(), number()
	t.Cleanup(func() {
		exec.Command("kill", strconv.Itoa(leaf)).Run()
		in.Close()
		cmd.Wait()
	})
	kerneltest.Eventually(t, "the middle one has ended", func() bool { return d.report("g").Groups[0].Usage.ProcessesEnded >= 1 })

	check := func(when string) {
		t.Helper()
		e := d.explain(leaf)
		if e.Command != "sleep" || len(e.Groups) != 1 || e.Groups[0].Group != "g" {
			t.Fatalf("%s: %+v", when, e)
		}
		m := e.Groups[0]
		var chain []int
		for _, a := range m.Chain {
			chain = append(chain, a.PID)
		}
		if len(chain) != 3 || chain[0] != leaf || chain[1] != middle || chain[2] != top {
			t.Fatalf("%s: chain %v, want %v", when, chain, []int{leaf, middle, top})
		}
		if a := m.Chain[1]; a.Ended.IsZero() || a.Command != "sh" {
			t.Errorf("%s: the middle one is %+v, want sh that ended", when, a)
		}
		if o := m.Origin; o == nil || o.PID != top || o.UID == nil || *o.UID != 0 || o.Time.IsZero() {
			t.Errorf("%s: origin %+v, want process %d by root", when, o, top)
		}
		if text := d.ctl("explain", strconv.Itoa(leaf)); !strings.Contains(text, "by user root") {
			t.Errorf("%s: %s", when, text)
		}
	}
	check("at once")
	d.stop()
	d.start()
	check("after a restart")
	d.kill()
	d.start()
	m := d.explain(leaf).Groups[0]
	if m.Origin == nil && (len(m.Candidates) != 1 || m.Candidates[0].PID != top || m.Candidates[0].UID == nil) {
		t.Errorf("after a crash: %+v, want process %d as the only candidate", m, top)
	}
	d.ctl("group", "remove", "g", strconv.Itoa(leaf))
	if e := d.explain(leaf); len(e.Groups) != 0 {
		t.Errorf("after remove: %+v", e)
	}
	if _, stderr, status := d.try("explain", strconv.Itoa(middle)); status != 1 || !strings.Contains(stderr, "is running") {
		t.Errorf("a process that ended: status %d, %s", status, stderr)
	}
}
