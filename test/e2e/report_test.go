// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"io"
	"math"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"elsa/internal/kerneltest"
	"elsa/pkg/client"
	"elsa/pkg/proc"
)

// A report has what those who live have used so far, under their user and command: it
// is what usage says at that moment, also after a crash, and when they have ended.
func TestKernelReportOfLiving(t *testing.T) {
	needKernel(t)
	d := start(t)
	const nobody = 65534
	cmd := exec.Command("sh", "-c", `read go; i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; kill -STOP $$; exit 0`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	d.ctl("group", "create", "g")
	d.ctl("group", "add", "g", strconv.Itoa(cmd.Process.Pid))
	io.WriteString(in, "go\n")
	kerneltest.Eventually(t, "a process that stopped itself", func() bool {
		p, err := proc.Default.Process(int32(cmd.Process.Pid))
		return err == nil && p.State == 'T'
	})
	check := func(when string, ended uint64) {
		t.Helper()
		bill := d.usage("g").Usage
		if bill.CPUSeconds < 0.02 || bill.ProcessesEnded != ended {
			t.Fatalf("%s: %v s CPU, %d ended", when, bill.CPUSeconds, bill.ProcessesEnded)
		}
		for _, by := range []string{"group", "command", "user", "hour"} {
			r := d.history("--group", "g", "--by", by)
			if len(r.Rows) == 0 || by == "user" && (r.Rows[0].UID == nil || *r.Rows[0].UID != nobody) || by == "command" && r.Rows[0].Command != "sh" {
				t.Errorf("%s, by %s: rows %+v", when, by, r.Rows)
			}
			if math.Abs(r.Total.CPUSeconds-bill.CPUSeconds) > 1e-9 || r.Total.MinorFaults != bill.MinorFaults || r.Total.Processes != ended {
				t.Errorf("%s, by %s: %+v, want the bill %+v", when, by, r.Total, bill)
			}
		}
	}
	check("while it lives", 0)
	d.kill()
	d.start()
	check("after a crash", 0)
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	check("when it has ended", 1)
}

func (d *daemon) history(args ...string) (r client.Report) {
	d.t.Helper()
	if err := json.Unmarshal([]byte(d.ctl(append([]string{"report", "--wait", "-o", "json"}, args...)...)), &r); err != nil {
		d.t.Fatal(err)
	}
	return r
}

// The report by command, by user and by hour adds up to the group's bill, also
// after a crash; a group that is deleted is in no report.
func TestKernelReport(t *testing.T) {
	needKernel(t)
	d := start(t)
	for _, g := range []string{"one", "two"} {
		d.ctl("group", "create", g)
	}
	d.ctl("run", "-g", "one", "--quiet", "--", "sh", "-c", "for i in 1 2 3 4 5; do /bin/true; done; ls / >/dev/null")
	d.ctl("run", "-g", "two", "--quiet", "--", "sh", "-c", "for i in 1 2 3; do /bin/true; done; exit 0")
	check := func(when string) {
		t.Helper()
		bill := d.usage("one").Usage
		for _, by := range []string{"group", "command", "user", "hour", "day"} {
			r := d.history("--group", "one", "--by", by)
			var sum client.Spent
			for i := range r.Rows {
				sum.Add(&r.Rows[i].Spent)
			}
			for _, s := range []client.Spent{sum, r.Total} {
				if s.Processes != bill.ProcessesEnded || math.Abs(s.CPUSeconds-bill.CPUSeconds) > 1e-6 ||
					s.MinorFaults != bill.MinorFaults || math.Abs(s.ElapsedSeconds-bill.ElapsedSeconds) > 1e-6 {
					t.Errorf("%s, by %s: %+v, want the bill %+v", when, by, s, bill)
				}
			}
		}
		processes := map[string]uint64{}
		for _, row := range d.history("--group", "one", "--by", "command").Rows {
			processes[row.Command] = row.Processes
		}
		if processes["true"] != 5 || processes["ls"] != 1 || processes["sh"] != 1 {
			t.Errorf("%s: processes by command %v, want 5 true, 1 ls, 1 sh", when, processes)
		}
		for _, row := range d.history("--group", "one", "--by", "user").Rows {
			if row.UID == nil || *row.UID != 0 {
				t.Errorf("%s: user %v, want root", when, row.UID)
			}
		}
	}
	check("at once")
	d.kill()
	d.start()
	check("after a crash")

	d.ctl("group", "delete", "two")
	r := d.history()
	if len(r.Rows) != 1 || r.Rows[0].Group != "one" {
		t.Errorf("after deletion: rows %+v, want that of group one alone", r.Rows)
	}
	if _, _, status := d.try("report", "--group", "two"); status != 1 {
		t.Errorf("report on a deleted group: status %d, want 1", status)
	}
	all := d.report()
	if total := d.history().Total; total.Processes < all.AnyGroup.ProcessesEnded || r.Ungrouped.Processes == 0 {
		t.Errorf("whole machine: %d processes, %d of them ungrouped", total.Processes, r.Ungrouped.Processes)
	}
	d.stop()
	d.start()
	check("after a restart")
}

// With --web.members a group's page lists its live processes; without it does not.
func TestKernelPageMembers(t *testing.T) {
	needKernel(t)
	for _, listed := range []bool{true, false} {
		d := start(t, "--web.members="+strconv.FormatBool(listed))
		d.ctl("group", "create", "g")
		sleep := exec.Command("sleep", "1000")
		if err := sleep.Start(); err != nil {
			t.Fatal(err)
		}
		d.ctl("group", "add", "g", strconv.Itoa(sleep.Process.Pid))
		resp, err := http.Get("http://" + d.address + "/group?name=g")
		if err != nil {
			t.Fatal(err)
		}
		page, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		row := `<td class="n">` + strconv.Itoa(sleep.Process.Pid) + `</td><th scope="row">sleep</th>`
		if strings.Contains(string(page), row) != listed {
			t.Errorf("--web.members=%v: the page has %s", listed, page)
		}
		sleep.Process.Kill()
		sleep.Wait()
		d.stop()
	}
}
