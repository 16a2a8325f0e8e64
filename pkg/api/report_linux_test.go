// SPDX-License-Identifier: Apache-2.0

package api

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/client"
)

// What the client is asked for arrives at the service, and its answer comes back.
func TestReportAndExplainOverSocket(t *testing.T) {
	f := newFake()
	socket, _ := serve(t, f)
	c := client.New(socket)
	defer c.Close()
	q := ReportQuery{By: "command", Groups: []string{"a", "b/c"}, Since: fakeTime.Truncate(time.Second), Until: fakeTime.Truncate(time.Second).Add(time.Hour), Wait: true}
	r, err := c.Report(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(q, f.query); diff != "" {
		t.Errorf("query (-asked +arrived):\n%s", diff)
	}
	want := []ReportRow{{Command: "x\uFFFD", Spent: Spent{Processes: 2, CPUUserSeconds: 1, CPUSeconds: 1, Exact: 2}}}
	if diff := cmp.Diff(want, r.Rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	// A query that says nothing is one of all groups.
	if _, err := c.Report(t.Context(), ReportQuery{}); err != nil {
		t.Errorf("a zero query: %v", err)
	}
	if diff := cmp.Diff(ReportQuery{By: "group"}, f.query); diff != "" {
		t.Errorf("a zero query (-want +arrived):\n%s", diff)
	}
	if e, err := c.Explain(t.Context(), 17); err != nil || e.PID != 17 || e.Command != "x" {
		t.Errorf("explain 17: %+v, %v", e, err)
	}
	if _, err := c.Explain(t.Context(), 404); err == nil || !strings.Contains(err.Error(), "no process 404") {
		t.Errorf("explain 404: %v", err)
	}
	if _, err := c.Explain(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "pid is") {
		t.Errorf("explain 0: %v", err)
	}
}

func TestCellsOverSocket(t *testing.T) {
	socket, _ := serve(t, newFake())
	c := client.New(socket)
	defer c.Close()
	from := fakeTime.Truncate(time.Hour)
	got, err := c.Cells(t.Context(), CellsQuery{After: "run-1", From: from})
	if err != nil {
		t.Fatal(err)
	}
	if got.Mark != "run-2 after run-1" || !got.Since.Equal(from) || len(got.Hours) != 1 || got.Hours[0].Cells[0].Figures[2] != 123456789 {
		t.Errorf("%+v", got)
	}
	if _, err := c.Cells(t.Context(), CellsQuery{After: strings.Repeat("x", maxMark+1)}); err == nil || !strings.Contains(err.Error(), "after is") {
		t.Errorf("a long mark: %v", err)
	}
}
