// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"
	"net/http"
	"os/exec"
	"syscall"
	"testing"

	"elsa/internal/kerneltest"
	"elsa/internal/tally"
	"elsa/pkg/api"
)

var (
	root = api.Caller{Admin: true}
	mal  = api.Caller{UID: 47001}
	vic  = api.Caller{UID: 47002}
)

// sleep starts a process of a user and returns its pid. It must be called before
// newService, whose events tell nothing of it.
func sleep(t testing.TB, who api.Caller) int {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: who.UID, Gid: who.UID}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd.Process.Pid
}

func status(err error) int {
	var e *api.Error
	if errors.As(err, &e) {
		return e.Status
	}
	if err != nil {
		return -1
	}
	return http.StatusOK
}

func (s *Service) create(t testing.TB, who api.Caller, name string) {
	t.Helper()
	if _, err := s.CreateGroup(t.Context(), who, api.CreateGroupRequest{Name: name}); err != nil {
		t.Fatal(err)
	}
}

func (s *Service) groupsOf(t *testing.T, pid int) (in []string) {
	t.Helper()
	e, err := s.Explain(t.Context(), root, pid)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range e.Groups {
		in = append(in, m.Group)
	}
	return in
}

// TestKernelMoveNeedsTheRightToLeave: nobody takes a process out of another's
// group by moving it.
func TestKernelMoveNeedsTheRightToLeave(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root)
	pid := sleep(t, mal)
	s, _ := newService(t, "")
	s.create(t, root, "billing")
	s.create(t, mal, "one")
	s.create(t, mal, "two")
	for _, tt := range []struct {
		who    api.Caller
		group  string
		move   bool
		status int
		in     int
	}{
		{root, "billing", false, 200, 1},
		{mal, "one", true, 403, 1},
		{mal, "one", false, 200, 2},
		{mal, "two", true, 403, 2}, // of both it leaves, one is not its own
		{mal, "billing", true, 403, 2},
		{root, "billing", true, 200, 1},
		{root, "two", true, 200, 1},
		{mal, "one", true, 200, 1},
	} {
		_, err := s.AddMembers(t.Context(), tt.who, tt.group, api.AddRequest{PIDs: []int{pid}, Move: tt.move})
		if got := status(err); got != tt.status {
			t.Errorf("uid %d adds to %s, move %v: status %d, want %d (%v)", tt.who.UID, tt.group, tt.move, got, tt.status, err)
		}
		if in := s.groupsOf(t, pid); len(in) != tt.in {
			t.Errorf("uid %d added to %s, move %v: the process is in %v, want %d groups", tt.who.UID, tt.group, tt.move, in, tt.in)
		}
	}
}

// TestKernelAnothersGroupIsNotFilledInSilence: an admin says so when processes
// that are not a group's owner's go there.
func TestKernelAnothersGroupIsNotFilledInSilence(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root)
	roots, mals, vics := sleep(t, root), sleep(t, mal), sleep(t, vic)
	s, _ := newService(t, "")
	s.create(t, mal, "nightly")
	add := func(who api.Caller, pid int, owner *uint32) int {
		_, err := s.AddMembers(t.Context(), who, "nightly", api.AddRequest{PIDs: []int{pid}, Owner: owner})
		return status(err)
	}
	zero := uint32(0)
	for _, tt := range []struct {
		who    api.Caller
		pid    int
		owner  *uint32
		status int
	}{
		{root, roots, nil, 409},
		{root, vics, nil, 409},
		{root, vics, &zero, 409},
		{root, mals, nil, 200},
		{vic, vics, nil, 403},
		{vic, vics, &mal.UID, 403},
		{mal, vics, &mal.UID, 403},
		{root, vics, &mal.UID, 200},
	} {
		if got := add(tt.who, tt.pid, tt.owner); got != tt.status {
			t.Errorf("uid %d adds process %d: status %d, want %d", tt.who.UID, tt.pid, got, tt.status)
		}
	}
}

// TestKernelRulesNamesAreRoots: a user cannot have a group that a rule could fill.
func TestKernelRulesNamesAreRoots(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root)
	pid := sleep(t, vic)
	s, _ := newService(t, `{list: [{group: ci, env: {CI: "1"}}, {group: "user/{{.User}}", user: "*", command: nothing}]}`)
	for name, want := range map[string]int{"ci": 403, "user/vic": 403, "user": 200, "mine": 200} {
		_, err := s.CreateGroup(t.Context(), mal, api.CreateGroupRequest{Name: name})
		if got := status(err); got != want {
			t.Errorf("a user makes %s: status %d, want %d (%v)", name, got, want, err)
		}
	}
	if n := s.Refused.Count(tally.ReservedNames); n != 2 {
		t.Errorf("%d refusals counted, want 2", n)
	}
	// One that an admin makes is root's, whoever the admin is.
	s.create(t, api.Caller{UID: 1000, Admin: true}, "ci")
	all, err := s.Groups(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range all {
		if g.Name == "ci" && g.Owner != 0 {
			t.Errorf("group ci is of uid %d", g.Owner)
		}
	}
	if _, err := s.AddMembers(t.Context(), root, "ci", api.AddRequest{PIDs: []int{pid}}); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"sees":    func() error { _, err := s.Group(t.Context(), vic, "ci"); return err }(),
		"closes":  func() error { _, err := s.CloseGroup(t.Context(), vic, "ci"); return err }(),
		"deletes": s.DeleteGroup(t.Context(), vic, "ci"),
	} {
		if status(err) != 403 {
			t.Errorf("a user %s a rule's group: %v", what, err)
		}
	}
}

// TestKernelManyPIDs: naming a process often costs no more than once, and too many
// are refused.
func TestKernelManyPIDs(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root)
	pid := sleep(t, mal)
	s, _ := newService(t, "")
	s.create(t, mal, "g")
	pids := make([]int, 170000)
	for i := range pids {
		pids[i] = pid
	}
	out, err := s.AddMembers(t.Context(), mal, "g", api.AddRequest{PIDs: pids, Tree: true})
	if err != nil || len(out.Added) != 1 {
		t.Errorf("added %v, %v", out.Added, err)
	}
	for i := range pids {
		pids[i] = i + 1
	}
	if _, err := s.AddMembers(t.Context(), mal, "g", api.AddRequest{PIDs: pids}); status(err) != 400 {
		t.Errorf("170000 processes in a request: %v", err)
	}
	if n := s.Refused.Count(tally.RequestSizes); n != 1 {
		t.Errorf("%d refusals counted, want 1", n)
	}
}

// TestKernelJoinKeepsTheRights: a process that puts itself in a group has no more
// rights than one that is put there.
func TestKernelJoinKeepsTheRights(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root)
	roots, mals := sleep(t, root), sleep(t, mal)
	s, _ := newService(t, `{list: [{group: ci, env: {CI: "1"}}]}`)
	s.create(t, mal, "nightly")
	as := func(who api.Caller, pid int) api.Caller { who.PID = int32(pid); return who }
	for _, tt := range []struct {
		who    api.Caller
		group  string
		status int
	}{
		{as(root, roots), "nightly", 409},
		{as(mal, mals), "nightly", 200},
		{as(mal, mals), "ci", 403},
		{as(mal, mals), "", 200},
		{as(root, roots), "ci", 200},
		{as(mal, mals), "ci", 403},
		{as(root, roots), "", 200},
	} {
		if _, err := s.Join(t.Context(), tt.who, api.JoinRequest{Group: tt.group}); status(err) != tt.status {
			t.Errorf("uid %d joins %q: %v, want status %d", tt.who.UID, tt.group, err, tt.status)
		}
	}
}
