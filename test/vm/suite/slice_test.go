// SPDX-License-Identifier: Apache-2.0

//go:build vm

package suite

import (
	"testing"
	"time"
)

// A task that ran for 1 ms and then exits has used 1 ms by its exit record.
// Without the patch the record lacks what was run since the last tick or
// switch, which for most of these tasks is all of it.
func TestExitRecordHasRunningSlice(t *testing.T) {
	const n, burn = 500, time.Millisecond
	exits := listenExits(t)
	pids := make(map[int]bool)
	_, children := storm{count: n, burn: burn}.run(t)
	for _, c := range children {
		pids[c.pid] = true
	}
	records, short := 0, 0
	for pid, cpu := range exits.drain() {
		if !pids[pid] {
			continue
		}
		records++
		if cpu < burn {
			short++
		}
	}
	if records != n {
		t.Errorf("%d exit records, want %d", records, n)
	}
	// A task that had to share its CPU meanwhile has used less.
	if short > n/20 {
		t.Errorf("%d of %d records say less than %v", short, records, burn)
	}
	figure("exit records below the time the task ran", "%d of %d", short, records)
}

// TestExitRecordShare measures what part of the CPU time that a cgroup counts
// is in the exit records of its tasks. It fails only if it cannot measure.
func TestExitRecordShare(t *testing.T) {
	for _, tt := range []struct {
		name  string
		flags uint64
		burn  time.Duration
	}{
		{"fork+exit", 0, 0},
		{"vfork+exit", vfork, 0},
		{"1ms-burn", 0, time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const n = 2000
			cgroup := newCgroup(t)
			exits := listenExits(t)
			_, children := storm{count: n, flags: tt.flags, burn: tt.burn, cgroup: cgroup}.run(t)
			pids := make(map[int]bool)
			for _, c := range children {
				pids[c.pid] = true
			}
			var sum time.Duration
			records := 0
			for pid, cpu := range exits.drain() {
				if pids[pid] {
					records++
					sum += cpu
				}
			}
			if records != n {
				t.Fatalf("%d exit records, want %d", records, n)
			}
			truth := cgroup.usage()
			figure("exit records / cgroup usage, "+tt.name, "%.3f (%.1f of %.1f us each)",
				float64(sum)/float64(truth), us(sum)/n, us(truth)/n)
		})
	}
}
