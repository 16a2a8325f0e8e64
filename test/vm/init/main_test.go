// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParsePlan(t *testing.T) {
	got, err := parsePlan("# a comment\n\none pass 5s /bin/a -x\ntwo fail 1m /bin/b\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []step{
		{"one", 0, 5 * time.Second, []string{"/bin/a", "-x"}},
		{"two", 1, time.Minute, []string{"/bin/b"}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(step{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, bad := range []string{"", "one pass 5s", "one maybe 5s /bin/a", "one pass soon /bin/a"} {
		if got, err := parsePlan(bad); err == nil {
			t.Errorf("parsePlan(%q) = %v, want an error", bad, got)
		}
	}
}

func TestStepRun(t *testing.T) {
	for _, tt := range []struct {
		name string
		step step
		ok   bool
	}{
		{"passes", step{"s", 0, time.Minute, []string{"/bin/true"}}, true},
		{"fails", step{"s", 0, time.Minute, []string{"/bin/false"}}, false},
		{"fails as it must", step{"s", 1, time.Minute, []string{"/bin/false"}}, true},
		{"passes and must not", step{"s", 1, time.Minute, []string{"/bin/true"}}, false},
		{"crashes instead of failing", step{"s", 1, time.Minute, []string{"/bin/sh", "-c", "kill -SEGV $$"}}, false},
		{"hangs", step{"s", 0, 50 * time.Millisecond, []string{"/bin/sleep", "100"}}, false},
		{"is not there", step{"s", 0, time.Minute, []string{"/nowhere"}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.step.run(); (err == nil) != tt.ok {
				t.Errorf("run() = %v, want ok %v", err, tt.ok)
			}
		})
	}
}

func TestReport(t *testing.T) {
	for _, bad := range []string{
		"WARNING: CPU: 0 PID: 1 at kernel/fork.c:1 x",
		"BUG: sleeping function called from invalid context at mm/slab.h:1",
		"WARNING: possible circular locking dependency detected",
		"INFO: task init:1 blocked for more than 120 seconds.",
		"rcu: INFO: rcu_sched detected stalls on CPUs/tasks:",
		"WARNING: suspicious RCU usage",
		"Oops: 0000 [#1] SMP",
	} {
		if !report.MatchString(bad) {
			t.Errorf("not seen as a report: %q", bad)
		}
	}
	for _, good := range []string{"printk: console [ttyS0] enabled", "Run /init as init process"} {
		if report.MatchString(good) {
			t.Errorf("seen as a report: %q", good)
		}
	}
}
