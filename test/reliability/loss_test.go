// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"elsa/internal/kerneltest"
)

// The buffer for events holds a handful, and a storm of forks overruns it all the
// time. At the end who lives in a group is who does by /proc; every line is on
// a bill, once; and what cannot be proved to be a group's is unattributed.
func TestKernelLoss(t *testing.T) {
	needKernel(t)
	rescans := uint64(20)
	if soak() {
		rescans = 500
	}
	d := newDaemon(t, t.TempDir(), "--commit-interval", "200ms", "--event-buffer", "4096")
	w := newWitness(t, d)
	d.start(small)
	unwritten := d.unwritten()

	proved := d.load("proved", nil, "churn", "cbz", "2", "2000")
	mixed := d.load("mixed", nil, "churn", "codzc", "2", "4000")
	held := d.tree("held")
	stop := overrun(t)
	for range 20 {
		held.grow(1)
		was := d.status().Events.Resyncs
		kerneltest.Eventually(t, "rescans", func() bool { return d.status().Events.Resyncs >= was+rescans/20 })
	}
	stop()
	d.report()
	d.report()
	if diff := cmp.Diff(held.pids(), d.members("held")); diff != "" {
		t.Errorf("members of held (-/proc +elsad):\n%s", diff)
	}
	if n := len(d.members("held")); n != held.made() {
		t.Errorf("%d live members, %d were made", n, held.made())
	}
	s := d.status()
	m := d.metrics()
	if s.Events.Lost == 0 || s.Events.Resyncs == 0 ||
		m["elsa_events_lost_total"] < float64(s.Events.Lost) || m["elsa_resyncs_total"] < float64(s.Events.Resyncs) {
		t.Errorf("%d events lost, %d rescans by status; %v and %v by the metrics: want some, and no fewer",
			s.Events.Lost, s.Events.Resyncs, m["elsa_events_lost_total"], m["elsa_resyncs_total"])
	}
	held.fell()
	want, wantMixed := proved.end(), mixed.end()
	held.in.Close()
	held.cmd.Wait()
	d.report()
	r := d.report()
	d.stop()
	st := d.stored()

	tried := int(s.Events.Resyncs)
	lines := w.count(st.Meta.Position) + unwritten
	lost, doubled := differ(lines, ended(st))
	if lost+doubled != 0 {
		t.Errorf("the kernel wrote %d lines and %d deaths are on bills: %d lost, %d doubled", lines, ended(st), lost, doubled)
	}
	row(t, "Events lost in a storm of forks, with room for 4 KiB", tried, lines, lost, doubled,
		fmt.Sprintf("%d events lost; tried: rescans of /proc", s.Events.Lost))
	inferred, unattributed := uint64(0), r.Unattributed.ProcessesEnded
	for _, g := range []struct {
		name string
		made int
		what string
	}{
		{"proved", want.Processes, "… trees of children"},
		{"mixed", wantMixed.Processes, "… trees with orphans and daemons"},
		{"held", held.made(), "… processes that live on"},
	} {
		u := groupOf(t, r, g.name)
		made, on := uint64(g.made), u.Usage.ProcessesEnded
		lost, _ := differ(made, on+unattributed)
		_, doubled := differ(made, max(made, on))
		unattributed -= min(made-min(made, on), unattributed)
		if lost+doubled != 0 || u.Usage.ProcessesLive != 0 || u.Usage.ProcessesStarted != on {
			t.Errorf("%s: %d made, %d started, %d ended, %d live, %d unattributed", g.name, made,
				u.Usage.ProcessesStarted, on, u.Usage.ProcessesLive, r.Unattributed.ProcessesEnded)
		}
		inferred += u.Precision.Inferred
		row(t, g.what, tried, made, lost, doubled,
			fmt.Sprintf("%d in the group, %d of them inferred; the others unattributed", on, u.Precision.Inferred))
	}
	if inferred == 0 {
		t.Error("no death is inferred")
	}
}

// unwritten is how many deaths are on bills without a line: what died between the
// subscription to events and the switching on of accounting, at the very first
// start. It waits until those are known.
func (d *daemon) unwritten() uint64 {
	d.t.Helper()
	// Each report takes a step, and two steps after a death it is known that it has
	// no line, unless its parent has not waited for it.
	n := uint64(0)
	for same := 0; same < 5; same++ {
		d.report()
		if now := d.status().Records.Joined["no_line"]; now != n {
			n, same = now, 0
		}
	}
	return n
}
