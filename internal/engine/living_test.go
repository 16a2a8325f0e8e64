// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"testing"
	"time"

	"elsa/internal/store"
	"elsa/pkg/clock"
	"elsa/pkg/cnfork"
	"elsa/pkg/proc"
)

// The living of a tree are found also where those between have ended; another process of
// the root's pid is not taken for it.
func TestLivingOf(t *testing.T) {
	m, now := newMachine(), at(time.Minute)
	e := newEngine(t, m, now)
	e.options.Rows = true
	e.tracker.WholeExits = true
	e.Load(&store.State{Meta: store.Meta{Created: now.Wall, NextGroup: 1}}, "boot", now)
	m.procs[1] = &proc.Process{PID: 1, Start: clock.At(0, clock.Tick), State: 'S', Threads: 1}
	if err := e.Scan(now); err != nil {
		t.Fatal(err)
	}
	began := now.Boot.Add(time.Second)
	start := func(pid int32) clock.Boot { return began.Add(time.Duration(pid) * 10 * time.Second) }
	fork := func(parent, pid int32) cnfork.Event {
		e := cnfork.Event{Kind: cnfork.Fork, PID: pid, TGID: pid, Start: start(pid), Forker: parent, ForkerStart: start(parent)}
		if parent == 1 {
			e.ForkerStart = 1
		}
		return e
	}
	exit := func(pid int32) cnfork.Event {
		return cnfork.Event{Kind: cnfork.Exit, PID: pid, TGID: pid, Start: start(pid), End: start(16)}
	}
	later := now.after(10 * time.Minute)
	e.Events([]cnfork.Event{
		fork(1, 10), fork(10, 11), fork(11, 12), fork(12, 13), exit(12), fork(11, 14), exit(11), exit(10), fork(1, 20), fork(20, 21),
	}, 0, 0, later)
	wall := func(pid int32) time.Time { return later.Wall.Add(start(pid).Sub(later.Boot)) }
	for _, tt := range []struct {
		pid     int32
		started time.Time
		want    []int32
	}{
		{10, wall(10), []int32{13, 14}},
		{10, time.Time{}, []int32{13, 14}},
		{10, wall(10).Add(5 * time.Second), nil},
		{12, wall(12), []int32{13}},
		{20, wall(20), []int32{20, 21}},
		{21, time.Time{}, []int32{21}},
		{99, time.Time{}, nil},
	} {
		if got := e.LivingOf(tt.pid, tt.started, later); !slices.Equal(got, tt.want) {
			t.Errorf("of %d at %v: %v, want %v", tt.pid, tt.started, got, tt.want)
		}
	}
}
