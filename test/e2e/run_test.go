// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"elsa/pkg/api"
)

// In a pid namespace of its own a caller's process ids are not taken for the host's,
// and a command that is run there is billed.
func TestKernelRunInPIDNamespace(t *testing.T) {
	needKernel(t)
	d := start(t)
	d.ctl("group", "create", "ci")
	inside := func(args ...string) (string, error) {
		argv := append([]string{"-pf", "--mount-proc", filepath.Join(bin, "elsactl"), "--socket", d.socket()}, args...)
		out, err := exec.Command("unshare", argv...).CombinedOutput()
		return string(out), err
	}
	if out, err := inside("group", "add", "ci", "1"); err == nil || !strings.Contains(out, "pid namespace of its own") || strings.Count(out, "\n") != 1 {
		t.Errorf("group add: %v, %q", err, out)
	}
	var ci api.GroupDetail
	if err := json.Unmarshal([]byte(d.ctl("group", "show", "ci", "-o", "json")), &ci); err != nil || len(ci.Members) != 0 {
		t.Errorf("ci has %+v (%v)", ci.Members, err)
	}
	for _, bill := range []string{"--quiet", "--quiet=false"} {
		group := map[string]string{"--quiet": "quiet", "--quiet=false": "billed"}[bill]
		if out, err := inside("run", bill, "-g", group, "--", "sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"); err != nil {
			t.Errorf("run: %v, %s", err, out)
		}
		if u := d.usage(group); u.Usage.ProcessesEnded != 1 || u.Usage.ProcessesLive != 0 || u.Usage.CPUSeconds == 0 {
			t.Errorf("run %s is billed %+v", bill, u.Usage)
		}
	}
}
