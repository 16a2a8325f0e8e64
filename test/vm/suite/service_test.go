// SPDX-License-Identifier: Apache-2.0

//go:build vm

package suite

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// The main job, by both sources: create a group, run a workload in it, ask for
// the bill, scrape. What was forked is known, so the counts must be exact, and
// thereby the same.
func TestForkServiceBill(t *testing.T) {
	const n, depth = 500, 3
	for _, source := range []string{"proc", "fork"} {
		t.Run(source, func(t *testing.T) {
			s := startService(t, source, source)
			s.ctl("group", "create", "job")
			cgroup := newCgroup(t)
			s.ctlIn(cgroup, "run", "-g", "job", "--quiet", "--", "/bin/storm",
				fmt.Sprint(n), fmt.Sprint(vfork), fmt.Sprint(depth), "1000000", "-1")
			got := s.bill("job")
			truth := cgroup.usage().Seconds()
			want := bill{Started: n*depth + 1, Ended: n*depth + 1, CPU: got.CPU}
			if got != want {
				t.Errorf("bill is %+v, want %+v", got, want)
			}
			for series, want := range map[string]float64{
				`elsa_group_processes_started_total{group="job"}`: n*depth + 1,
				`elsa_group_processes_ended_total{group="job"}`:   n*depth + 1,
				`elsa_group_processes{group="job"}`:               0,
				`elsa_events_lost_total`:                          0,
			} {
				if got := s.metric(series); got != want {
					t.Errorf("%s is %v, want %v", series, got, want)
				}
			}
			// elsactl is in the cgroup and not in the group, and without
			// the exact source the end of each process is not on the bill.
			if got.CPU < 0.5*truth || got.CPU > 1.1*truth {
				t.Errorf("CPU is %.2f s, the cgroup counts %.2f s", got.CPU, truth)
			}
			figure("bill of the same storm by "+source, "%d started, %d ended, %.3f of the cgroup's time (%.2f of %.2f s)",
				got.Started, got.Ended, got.CPU/truth, got.CPU, truth)
		})
	}
}

// auto takes the fork connector where it answers.
func TestForkServiceAuto(t *testing.T) {
	startService(t, "auto", "fork")
}

// A process that makes its child its parent's by CLONE_PARENT cannot take it
// out of its group when events name the forker. When they name the parent, it
// can.
func TestForkServiceCloneParent(t *testing.T) {
	for source, ended := range map[string]int{"fork": 2, "proc": 1} {
		t.Run(source, func(t *testing.T) {
			s := startService(t, source, source)
			s.ctl("run", "-g", "job", "--quiet", "--", "/bin/storm", "1", fmt.Sprint(unix.CLONE_PARENT), "1", "0", "-1")
			if got := s.bill("job"); got.Ended != ended {
				t.Errorf("%d processes ended in the group, want %d", got.Ended, ended)
			}
		})
	}
}

// The service and another listener at once, 20,000 forks: both get all.
func TestForkServiceAndListener(t *testing.T) {
	const each, storms = 10000, 2
	s := startService(t, "fork", "fork")
	s.ctl("group", "create", "job")
	l := listen(t, 64<<20)
	before := s.metric(`elsa_events_total{kind="fork"}`)
	done := make(chan struct{})
	for range storms {
		go func() {
			defer func() { done <- struct{}{} }()
			s.ctl("run", "-g", "job", "--quiet", "--", "/bin/storm", fmt.Sprint(each), "0", "1", "0", "-1")
		}()
	}
	for range storms {
		<-done
	}
	got := s.bill("job")
	events := s.metric(`elsa_events_total{kind="fork"}`) - before
	if want := each*storms + storms; got.Ended != want {
		t.Errorf("%d processes ended in the group, want %d", got.Ended, want)
	}
	heard := l.drain()
	if n := lost(t, heard); n != 0 {
		t.Errorf("the other listener lacks %d messages", n)
	}
	if n := s.metric("elsa_events_lost_total"); n != 0 {
		t.Errorf("the service lost %v events", n)
	}
	forkers := make(map[int]int)
	for _, ev := range heard {
		forkers[ev.forker]++
	}
	full := 0
	for _, n := range forkers {
		// More where elsactl had threads under the pid that became a storm.
		if n >= each {
			full++
		}
	}
	if full != storms {
		t.Errorf("the other listener has all %d forks of %d storms, want %d", each, full, storms)
	}
	figure("service and a second listener", "%d processes in the bill; %.0f and %d events, 0 lost", got.Ended, events, len(heard))
}
