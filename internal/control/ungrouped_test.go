// SPDX-License-Identifier: Apache-2.0

package control

import (
	"os"
	"os/exec"
	"slices"
	"testing"

	"elsa/pkg/api"
)

// Who is in no group is listed to admins; a user sees its own processes. A process that
// was put in a group is no longer listed.
func TestUngrouped(t *testing.T) {
	child := exec.Command("sleep", "1000") // another test may have made this process another user's
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		child.Process.Kill()
		child.Wait()
	})
	s, _ := newService(t, "")
	admin, self, uid := api.Caller{Admin: true}, child.Process.Pid, uint32(os.Getuid())
	listed := func(who api.Caller) bool {
		t.Helper()
		u, err := s.Ungrouped(t.Context(), who)
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range u.Members {
			if m.Command == "" || m.Started.IsZero() || m.Groups == nil || i > 0 && m.PID <= u.Members[i-1].PID {
				t.Errorf("member %d: %+v", i, m)
			}
		}
		return slices.ContainsFunc(u.Members, func(m api.Member) bool { return m.PID == self })
	}
	if !listed(admin) || !listed(api.Caller{UID: uid}) {
		t.Error("a process in no group is not listed")
	}
	if listed(api.Caller{UID: uid + 4711}) {
		t.Error("another user's process is listed")
	}
	if _, err := s.CreateGroup(t.Context(), admin, api.CreateGroupRequest{Name: "g"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddMembers(t.Context(), admin, "g", api.AddRequest{PIDs: []int{self}}); err != nil {
		t.Fatal(err)
	}
	if listed(admin) {
		t.Error("a process in a group is listed")
	}
	if u, err := s.Usage(t.Context(), admin, api.UsageQuery{}); err != nil || u.CPUs < 1 {
		t.Errorf("%d CPUs, %v", u.CPUs, err)
	}
}
