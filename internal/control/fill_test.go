// SPDX-License-Identifier: Apache-2.0

package control

import (
	"testing"
	"time"

	"elsa/internal/fill"
	"elsa/pkg/api"
	"elsa/pkg/usage"
)

// Admins fill groups as owners may be shown it, with what was not taken before, by the
// last version; nobody else does. What a group took is on its bill and in its reports, and
// in no total.
func TestKernelFillGroup(t *testing.T) {
	s, _ := newService(t, "")
	for _, name := range []string{"mine", "closed"} {
		s.create(t, root, name)
	}
	s.create(t, mal, "mals")
	if _, err := s.CloseGroup(t.Context(), root, "closed"); err != nil {
		t.Fatal(err)
	}
	begin, err := s.Usage(t.Context(), root, api.UsageQuery{})
	if err != nil {
		t.Fatal(err)
	}
	version := func() uint64 {
		t.Helper()
		st, err := s.FillState(t.Context(), root, api.FillQuery{})
		if err != nil || len(st.Groups) != 3 {
			t.Fatalf("%+v: %v", st, err)
		}
		return st.Version
	}
	hour := usage.HourStart(usage.HourOf(time.Now().Unix()))
	used := usage.Usage{usage.Ended: 2, usage.Exact: 2, usage.User: 1234567, usage.System: 7}
	ask := func(who api.Caller, name string, v, first, last uint64, uid uint32, owner *uint32) error {
		t.Helper()
		_, err := s.FillGroup(t.Context(), who, name, api.FillRequest{
			Version: v, Owner: owner, Rows: []api.FillRows{{Source: "s", Rows: fill.Encode([]fill.Run{{First: first, Last: last}})}},
			Cells: []api.FillCell{{Hour: hour, Cell: api.Cell{UID: uid, Command: "cc1", Figures: api.Figures(&used)}}},
		})
		return err
	}
	if _, err := s.FillState(t.Context(), mal, api.FillQuery{}); status(err) != 403 {
		t.Errorf("a user asks who has which rows: %v", err)
	}
	v := version()
	for i, tt := range []struct {
		err    error
		status int
	}{
		{ask(mal, "mals", v, 1, 2, mal.UID, nil), 403}, // its own group: nobody sees whether it is true
		{ask(root, "none", v, 1, 2, 0, nil), 404},
		{ask(root, "closed", v, 1, 2, 0, nil), 409},
		{ask(root, "mals", v, 1, 2, 0, nil), 409}, // mal would see it
		{ask(root, "mals", v, 1, 2, 0, &vic.UID), 409},
		{ask(root, "mals", v, 1, 2, mal.UID, nil), 200},
		{ask(root, "mine", v, 1, 2, 0, nil), 409}, // another version by now
		{ask(root, "mine", version(), 1, 2, 0, nil), 200},
		{ask(root, "mine", version(), 2, 3, 0, nil), 409}, // row 2 is there
		{ask(root, "mals", version(), 3, 4, 0, &mal.UID), 200},
	} {
		if got := status(tt.err); got != tt.status {
			t.Errorf("step %d: status %d, want %d (%v)", i, got, tt.status, tt.err)
		}
	}
	end, err := s.Usage(t.Context(), root, api.UsageQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range end.Groups {
		want := map[string]uint64{"mine": 2, "mals": 4}[g.Name]
		if g.Usage.ProcessesEnded != want || g.Precision.Exact != want {
			t.Errorf("group %s has %+v, want %d", g.Name, g, want)
		}
	}
	if end.Total.ProcessesEnded != begin.Total.ProcessesEnded || end.Total.CPUSeconds != begin.Total.CPUSeconds || end.AnyGroup != begin.AnyGroup {
		t.Errorf("totals were %+v and are %+v", begin.Total, end.Total)
	}
	for group, want := range map[string]uint64{"mine": 2, "": 0} {
		q := api.ReportQuery{By: "command", Since: hour.Add(-time.Hour)}
		if group != "" {
			q.Groups = []string{group}
		}
		r, err := s.Report(t.Context(), root, q)
		if err != nil || r.Total.Processes != want {
			t.Errorf("report of group %q: %d processes, want %d; %v", group, r.Total.Processes, want, err)
		}
	}
	cells, err := s.Cells(t.Context(), root, api.CellsQuery{})
	if err != nil || len(cells.Hours) != 0 {
		t.Errorf("a fleet gets what is in other cells: %+v, %v", cells.Hours, err)
	}
}
