// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// page returns what HTTP has at a path.
func (d *daemon) page(path string) string {
	d.t.Helper()
	resp, err := http.Get("http://" + d.address + path)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		d.t.Fatalf("%s: %v, %v: %s", path, resp.Status, err, text)
	}
	return string(text)
}

// The page of a day has what a group used before a restart, by user and command, and so
// has its CSV, which adds up to the bill.
func TestKernelPageAfterRestart(t *testing.T) {
	needKernel(t)
	d := start(t, "--web.members")
	d.ctl("run", "-g", "job", "--quiet", "--", "sh", "-c", "for i in 1 2 3 4 5; do /bin/true; done; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
	bill := d.usage("job").Usage
	d.stop()
	d.start()
	if text := d.page("/?span=day&sort=span"); !strings.Contains(text, `title="job"`) || !strings.Contains(text, "not in a group") || strings.Contains(text, "not known yet") {
		t.Errorf("the page of the day:\n%s", text)
	}
	text := d.page("/group?name=job&span=day")
	for _, want := range []string{`<th scope="row">root</th>`, `<th scope="row">true</th>`, `<th scope="row">sh</th>`} {
		if !strings.Contains(text, want) {
			t.Errorf("the group's page lacks %s:\n%s", want, text)
		}
	}
	table := d.page("/group.csv?name=job&span=day&by=user")
	if want := fmt.Sprintf("job,root,%d,%.9f", bill.ProcessesEnded, bill.CPUSeconds); !strings.Contains(table, strings.TrimRight(want, "0")) {
		t.Errorf("by user:\n%swant the bill, %s", table, want)
	}
	if table := d.page("/group.csv?name=job&span=day&by=command"); !strings.Contains(table, "\njob,true,5,") {
		t.Errorf("by command:\n%s", table)
	}
	// What is in no group is listed by name, and this test is.
	if text := d.scrape(); !strings.Contains(text, `elsa_group_info{group="job",owner="root"} 1`) || !strings.Contains(text, `elsa_group_processes{group="(ungrouped)"}`) {
		t.Error("a scrape lacks the group's info, or what is in no group")
	}
}
