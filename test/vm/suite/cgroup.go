// SPDX-License-Identifier: Apache-2.0

//go:build vm

package suite

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// cgroup is a control group of the test's own, by its directory.
type cgroup struct {
	*os.File
	t testing.TB
}

func newCgroup(t testing.TB) *cgroup {
	t.Helper()
	dir := "/sys/fs/cgroup/" + strings.ReplaceAll(t.Name(), "/", "-")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Close()
		os.Remove(dir)
	})
	return &cgroup{f, t}
}

// usage is all the CPU time that was used in it: usage_usec of cpu.stat.
func (g *cgroup) usage() time.Duration {
	g.t.Helper()
	b, err := os.ReadFile(g.Name() + "/cpu.stat")
	if err != nil {
		g.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var name string
		var n int64
		if _, err := fmt.Sscan(line, &name, &n); err == nil && name == "usage_usec" {
			return time.Duration(n) * time.Microsecond
		}
	}
	g.t.Fatalf("no usage_usec in %s", b)
	return 0
}
