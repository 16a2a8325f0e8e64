// SPDX-License-Identifier: Apache-2.0

package control

import (
	"slices"
	"testing"
	"time"

	"elsa/internal/kerneltest"
	"elsa/pkg/api"
)

// TestKernelKeep: owners and admins keep groups in order, and nobody else. What is
// merged takes its members along.
func TestKernelKeep(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root)
	pid := sleep(t, mal)
	s, _ := newService(t, "list: [{group: kept, command: nobody-has-this}, {group: 'user/{{.User}}', user: '*'}]")
	for _, name := range []string{"one", "two", "three"} {
		s.create(t, mal, name)
	}
	s.create(t, vic, "vic")
	s.create(t, root, "roots")
	if _, err := s.AddMembers(t.Context(), mal, "one", api.AddRequest{PIDs: []int{pid}}); err != nil {
		t.Fatal(err)
	}
	rename := func(who api.Caller, name, to string) error {
		_, err := s.RenameGroup(t.Context(), who, name, api.RenameRequest{Name: to})
		return err
	}
	merge := func(who api.Caller, from, into string) error {
		_, err := s.MergeGroup(t.Context(), who, into, api.MergeRequest{From: from})
		return err
	}
	label := func(who api.Caller, name string) error {
		_, err := s.LabelGroup(t.Context(), who, name, api.LabelRequest{Set: map[string]string{"team": "x"}})
		return err
	}
	reopen := func(who api.Caller, name string) error {
		_, err := s.ReopenGroup(t.Context(), who, name)
		return err
	}
	closes := func(who api.Caller, name string) error {
		_, err := s.CloseGroup(t.Context(), who, name)
		return err
	}
	for i, tt := range []struct {
		err    error
		status int
	}{
		{rename(vic, "one", "mine"), 403},
		{rename(mal, "one", "two"), 409},
		{rename(mal, "one", "kept"), 403},  // a rule's name
		{rename(root, "one", "kept"), 403}, // of a user's group it is not even for admins
		{rename(root, "roots", "kept"), 200},
		{rename(mal, "nix", "two"), 404},
		{rename(mal, "one", "first"), 200},
		{label(vic, "first"), 403},
		{label(mal, "first"), 200},
		{reopen(mal, "two"), 409}, // it is open
		{closes(mal, "two"), 200},
		{merge(mal, "first", "two"), 409}, // it is closed
		{reopen(vic, "two"), 403},
		{reopen(mal, "two"), 200},
		{merge(mal, "first", "vic"), 403},
		{merge(mal, "vic", "first"), 403},
		{merge(root, "vic", "first"), 409}, // its owner would see the other's
		{merge(mal, "first", "first"), 409},
		{merge(mal, "first", "two"), 200},
		{merge(root, "vic", "kept"), 200},
	} {
		if got := status(tt.err); got != tt.status {
			t.Errorf("step %d: status %d, want %d (%v)", i, got, tt.status, tt.err)
		}
	}
	if in := s.groupsOf(t, pid); !slices.Contains(in, "two") || slices.Contains(in, "one") || slices.Contains(in, "first") {
		t.Errorf("the process is in %v, want two, which one was merged into", in)
	}
	// Everybody may ask for what their own processes used, and not for others'.
	q := api.ReportQuery{By: "command", Since: time.Now().Add(-time.Hour)}
	if _, err := s.Report(t.Context(), vic, q); status(err) != 403 {
		t.Errorf("commands of all: %v, want 403", err)
	}
	q.Mine = true
	if _, err := s.Report(t.Context(), vic, q); err != nil {
		t.Errorf("commands of its own: %v", err)
	}
}
