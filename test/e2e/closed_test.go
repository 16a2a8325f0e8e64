// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"elsa/internal/kerneltest"
	"elsa/pkg/client"
)

// The group that run makes is temporary. Its series end after the grace, its
// bill stays, and once it is deleted what it used is still among that of any
// group, also after a restart.
func TestKernelClosedGroup(t *testing.T) {
	needKernel(t)
	d := start(t, "--metrics.closed-grace", "2s")
	d.ctl("group", "create", "keep")
	d.ctl("run", "--quiet", "--", "sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; /bin/true; exit 0")
	var gs []client.Group
	if err := json.Unmarshal([]byte(d.ctl("group", "list", "-o", "json")), &gs); err != nil {
		t.Fatal(err)
	}
	if len(gs) != 2 || gs[0].Temporary || !gs[1].Temporary || gs[1].State != "closed" {
		t.Fatalf("groups %+v", gs)
	}
	run := gs[1].Name
	if u := d.usage(run).Usage; u.ProcessesEnded < 2 || u.CPUSeconds == 0 {
		t.Errorf("%s: %+v", run, u)
	}
	series := `{group="` + run + `"`
	if !strings.Contains(d.scrape(), series) {
		t.Error("the group has no series in its grace")
	}
	kerneltest.Eventually(t, "its series have ended", func() bool { return !strings.Contains(d.scrape(), series) })
	if !strings.Contains(d.scrape(), `{group="keep"`) || !strings.Contains(d.scrape(), "elsa_groups 2\n") {
		t.Error("a group that is open has no series, or not all are counted")
	}

	before := d.report()
	d.ctl("group", "delete", run)
	check := func(when string) {
		t.Helper()
		after := d.report()
		if len(after.Groups) != 1 || after.AnyGroup.CPUSeconds < before.AnyGroup.CPUSeconds || after.AnyGroup.ProcessesEnded < before.AnyGroup.ProcessesEnded {
			t.Errorf("%s: any group has %+v, had %+v", when, after.AnyGroup, before.AnyGroup)
		}
	}
	check("deleted")
	d.stop()
	d.start()
	check("after a restart")
	d.kill()
	d.start()
	check("after a crash")
	if r := d.status().Conservation.Ratio; r < 0.98 || r > 1.02 {
		t.Errorf("conservation %v", r)
	}
}
