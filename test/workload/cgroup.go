// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"elsa/internal/kerneltest"
)

// Cgroup is a control group, whose CPU time the scheduler counts for itself.
type Cgroup struct{ dir, file string }

// NewCgroup makes one, which is removed when t ends; nil where there is no place
// for it.
func NewCgroup(t testing.TB) *Cgroup {
	for _, c := range []Cgroup{
		{"/sys/fs/cgroup/cpuacct", "cpuacct.usage"}, {"/sys/fs/cgroup/cpu,cpuacct", "cpuacct.usage"},
		{"/sys/fs/cgroup", "cpu.stat"},
	} {
		dir, err := os.MkdirTemp(c.dir, "elsa-test-")
		if err != nil {
			continue
		}
		c.dir = dir
		t.Cleanup(func() {
			kerneltest.Eventually(t, "the control group is empty", func() bool { return os.Remove(c.dir) == nil })
		})
		return &c
	}
	t.Log("no control groups: CPU is not compared")
	return nil
}

// Command returns a command that moves itself into the group and executes args.
func (c *Cgroup) Command(args ...string) []string {
	return append([]string{"sh", "-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(c.dir, "cgroup.procs")}, args...)
}

// CPU is what was used in the group so far.
func (c *Cgroup) CPU(t testing.TB) time.Duration {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, c.file))
	if err != nil {
		t.Fatal(err)
	}
	number, unit := strings.TrimSpace(string(text)), time.Nanosecond
	if c.file == "cpu.stat" {
		number, unit = strings.Fields(number)[1], time.Microsecond
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(n) * unit
}
