// SPDX-License-Identifier: Apache-2.0

package control

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"elsa/pkg/api"
	"elsa/pkg/cnfork"
	"elsa/pkg/groups"
	"elsa/pkg/stream"
)

// A process is in so many groups and in no more: a request is refused with the
// bound, before it changes anything, and a rule is passed over and counted.
func TestProcessGroupsAreBounded(t *testing.T) {
	s, events := newService(t, `{match: all, list: [{group: "ruled", command: ["*"], parent: g000}]}`)
	admin, self, parent := api.Caller{Admin: true}, os.Getpid(), os.Getppid()
	add := func(g string, r api.AddRequest) (api.AddResult, error) {
		t.Helper()
		if _, err := s.CreateGroup(t.Context(), admin, api.CreateGroupRequest{Name: g}); err != nil {
			t.Fatal(err)
		}
		return s.AddMembers(t.Context(), admin, g, r)
	}
	for i := range groups.MaxGroups {
		if _, err := add(fmt.Sprintf("g%03d", i), api.AddRequest{PIDs: []int{self}}); err != nil {
			t.Fatalf("group %d: %v", i+1, err)
		}
	}
	_, err := add("more", api.AddRequest{PIDs: []int{parent, self}})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint(groups.MaxGroups)) {
		t.Errorf("one group more: %v, want an error with the bound", err)
	}
	if d, err := s.Group(t.Context(), admin, "more"); err != nil || len(d.Members) != 0 {
		t.Errorf("after the refusal: %+v, %v; want no member", d.Members, err)
	}
	if _, err := s.AddMembers(t.Context(), admin, "g000", api.AddRequest{PIDs: []int{self}}); err != nil {
		t.Errorf("a group that it is in: %v", err)
	}
	events.Send(&stream.Batch[cnfork.Event]{Items: []cnfork.Event{{Kind: cnfork.Exec, PID: int32(self), TGID: int32(self)}}})
	e, err := s.Explain(t.Context(), admin, self)
	if err != nil || len(e.Groups) != groups.MaxGroups {
		t.Errorf("%d groups, %v; want %d", len(e.Groups), err, groups.MaxGroups)
	}
	st, err := s.Status(t.Context(), admin)
	if n := st.Limited["process_groups"]; err != nil || n != 1 {
		t.Errorf("status counts %d, %v; want the one time that the rule was passed over", n, err)
	}
	if r, err := add("only", api.AddRequest{PIDs: []int{self}, Move: true}); err != nil || len(r.Added) != 1 {
		t.Errorf("moved: %+v, %v", r, err)
	}
}
