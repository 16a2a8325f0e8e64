// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
	"elsa/test/workload"
)

const ms = time.Millisecond

func TestFindHierarchy(t *testing.T) {
	const (
		proc = "24 1 0:22 / /proc rw,relatime - proc proc rw\n"
		v1   = "35 34 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:11 - cgroup cgroup rw,cpu,cpuacct\n"
		cpu  = "36 34 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
		v2   = "34 24 0:29 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
	)
	for _, tt := range []struct {
		name, mounts, root string
		v1                 bool
	}{
		{"version 1", proc + v1, "/sys/fs/cgroup/cpu,cpuacct", true},
		{"version 2", proc + v2, "/sys/fs/cgroup", false},
		{"both", v2 + cpu + v1, "/sys/fs/cgroup/cpu,cpuacct", true},
		{"version 1 without cpuacct", cpu + v2, "/sys/fs/cgroup", false},
		{"neither", proc + cpu + "nonsense\n", "", false},
	} {
		root, v1, err := findHierarchy(tt.mounts)
		if root != tt.root || v1 != tt.v1 || (err == nil) != (tt.root != "") {
			t.Errorf("%s: %q, %v, %v; want %q, %v", tt.name, root, v1, err, tt.root, tt.v1)
		}
	}
}

func TestParseUsages(t *testing.T) {
	if got, err := parseUsageV1([]byte("1201234567\n")); err != nil || got != 1201234567 {
		t.Errorf("version 1: %v, %v", got, err)
	}
	if got, err := parseUsageV2([]byte("usage_usec 1201234\nuser_usec 1\nsystem_usec 2\n")); err != nil || got != 1201234*time.Microsecond {
		t.Errorf("version 2: %v, %v", got, err)
	}
	for _, bad := range []string{"", "x\n", "user_usec 1\n"} {
		if got, err := parseUsageV1([]byte(bad)); err == nil {
			t.Errorf("version 1 takes %q: %v", bad, got)
		}
		if got, err := parseUsageV2([]byte(bad)); err == nil {
			t.Errorf("version 2 takes %q: %v", bad, got)
		}
	}
}

// What the tools printed, cut down.
const (
	saSaid = `root       0.01 cpu     1140k mem    131 io gcc             
64100      0.06 cpu      289k mem    551 io workload        *
64101      9.00 cpu      289k mem    551 io workload        *
64100      1.00 cpu      289k mem      0 io work load       
`
	exporterSaid = `# HELP namedprocess_namegroup_cpu_seconds_total Cpu user usage in seconds
# TYPE namedprocess_namegroup_cpu_seconds_total counter
namedprocess_namegroup_cpu_seconds_total{groupname="64100",mode="system"} 0.25
namedprocess_namegroup_cpu_seconds_total{groupname="64100",mode="user"} 1.5e+00
namedprocess_namegroup_cpu_seconds_total{groupname="root",mode="user"} 7
namedprocess_namegroup_num_procs{groupname="64100"} 1
`
	elsactlSaid = `{"time":"2026-01-02T03:04:05Z","groups":[{"name":"w","id":1,"usage":{"processes_started":4,"processes_ended":4,
 "processes_live":0,"cpu_user_seconds":1.0,"cpu_seconds":1.25},"precision":{"exact":3,"sampled":1,"rounded":0,"inferred":0}}],"total":{}}`
)

func TestParseTools(t *testing.T) {
	if got, err := parseSA([]byte(saSaid), "64100"); err != nil || got != (reading{cpu: 1060 * ms, processes: 2}) {
		t.Errorf("sa: %+v, %v", got, err)
	}
	if got, err := parseSA([]byte("64100 lots of cpu\n"), "64100"); err == nil {
		t.Errorf("sa takes nonsense: %+v", got)
	}

	cpu, err := parseExporter(exporterSaid)
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(map[string]time.Duration{"64100": 1750 * ms, "root": 7 * time.Second}, cpu); diff != "" {
		t.Errorf("exporter (-want +got):\n%s", diff)
	}
	if got, err := parseExporter(`namedprocess_namegroup_cpu_seconds_total{groupname="x"} y`); err == nil {
		t.Errorf("exporter takes nonsense: %v", got)
	}

	if got, err := parseUsage([]byte(elsactlSaid)); err != nil || got != (reading{cpu: 1250 * ms, processes: 4, exact: 3, sampled: 1}) {
		t.Errorf("elsactl: %+v, %v", got, err)
	}
	for _, bad := range []string{"", "{}", strings.Replace(elsactlSaid, `"processes_live":0`, `"processes_live":1`, 1)} {
		if got, err := parseUsage([]byte(bad)); err == nil {
			t.Errorf("elsactl takes %q: %+v", bad, got)
		}
	}
}

func TestCountLines(t *testing.T) {
	line := func(uid uint32, version byte) []byte {
		b := make([]byte, 64)
		b[1] = version
		binary.NativeEndian.PutUint32(b[8:], uid)
		return b
	}
	path := filepath.Join(t.TempDir(), "pacct")
	write := func(lines ...[]byte) {
		t.Helper()
		var text []byte
		for _, l := range lines {
			text = append(text, l...)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(line(7, 3), line(8, 3), line(7, 3), line(7, 3)[:30])
	if got, err := countLines(path, 7); err != nil || got != 2 {
		t.Errorf("countLines = %d, %v; want 2", got, err)
	}
	write(line(7, 2))
	if got, err := countLines(path, 7); err == nil {
		t.Errorf("countLines of version 2 = %d, want an error", got)
	}
}

type column string

func (c column) name() string                                           { return string(c) }
func (column) begin(context.Context, string, int, uint32) error         { return nil }
func (column) end(context.Context, string, uint32) (r reading, _ error) { return r, nil }

func TestTable(t *testing.T) {
	var sum row
	for range 2 {
		sum.add(row{truth: reading{cpu: 500 * ms, processes: 5}, readings: []reading{
			{cpu: 501 * ms, processes: 5}, {cpu: 100 * ms, processes: 4}, {cpu: 1000 * ms, processes: -1},
		}})
	}
	sum.name = "a load"
	tab := table{instruments: []instrument{column("elsad"), column("other"), column("third")}, rows: []row{sum}}
	var out strings.Builder
	tab.print(&out)
	_, got, _ := strings.Cut(out.String(), "\n\n")
	const want = `| workload | processes | CPU, truth | elsad | other | third |
|---|--:|--:|--:|--:|--:|
| a load | 10 | 1.000 s | +0.20 % | −80.0 % (8 processes) | +100.0 % |
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}

	for _, tt := range []struct {
		name      string
		r         row
		tolerance float64
		want      string
	}{
		{"good", row{truth: reading{cpu: time.Second, processes: 1}, readings: []reading{{cpu: 1004 * ms, processes: 1}}}, 0.5, ""},
		{"too much", row{truth: reading{cpu: time.Second, processes: 1}, readings: []reading{{cpu: 1006 * ms, processes: 1}}}, 0.5, "+0.60 %"},
		{"too little", row{truth: reading{cpu: time.Second, processes: 1}, readings: []reading{{cpu: 994 * ms, processes: 1}}}, 0.5, "−0.60 %"},
		{"short", row{truth: reading{cpu: 500 * ms, processes: 1}, readings: []reading{{cpu: 504 * ms, processes: 1}}}, 0.5, ""},
		{"one missing", row{truth: reading{cpu: time.Second, processes: 2}, readings: []reading{{cpu: time.Second, processes: 1}}}, 0.5, "counts 1 processes"},
	} {
		tab.rows = []row{tt.r}
		err := tab.check(tt.tolerance)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: check() = %v, want %q", tt.name, err, tt.want)
		}
	}
}

// cpuClock reads the CPU clock of another process; see clock_getcpuclockid(3).
func cpuClock(t *testing.T, pid int) time.Duration {
	t.Helper()
	var used unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Nano())
}

// TestKernelCgroup holds the truth itself against a process's own clock, and
// sees that no group stays.
func TestKernelCgroup(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root)
	c, err := newCgroup("elsa-accuracy-test")
	if err != nil {
		t.Fatal(err)
	}
	// It burns only when it is in the group.
	cmd := exec.Command("sh", "-c", `read line; exec "$0" hold 100`, workload.Build(t))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// What it used before it was in the group is not the group's: between these.
	least := cpuClock(t, cmd.Process.Pid)
	if err := c.add(cmd.Process.Pid); err != nil {
		t.Error(err)
	}
	most := cpuClock(t, cmd.Process.Pid)
	fmt.Fprintln(stdin)
	stdin.Close()
	cmd.Wait()
	got, err := c.final(t.Context())
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	// wait4 cuts to microseconds, and ends before the process leaves its CPU.
	if err != nil || got < used-most-ms || got > used-least+5*ms {
		t.Errorf("control group counted %v, %v; wait4 %v, of which %v to %v before", got, err, used, least, most)
	}
	if err := c.remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(c.dir); !os.IsNotExist(err) {
		t.Errorf("control group is still there: %v", err)
	}
}
