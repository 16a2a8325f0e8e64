// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	"elsa/pkg/clock"
	"elsa/pkg/proc"
)

// What is dead or dying and not known has its line written; what is known, or has
// other threads, is not left out of a look at /proc.
func TestAccounted(t *testing.T) {
	e := newEngine(t, newMachine(), at(time.Minute))
	e.tracker.Fork(1, 10, clock.At(5e9, clock.Stamped))
	five := clock.At(5e9, clock.Tick)
	for _, tt := range []struct {
		name string
		p    proc.Process
		want bool
	}{
		{"alive", proc.Process{PID: 11, State: 'R', Threads: 1, Start: five}, false},
		{"a zombie", proc.Process{PID: 11, State: 'Z', Exiting: true, Threads: 1, Start: five}, true},
		{"between its line and its end", proc.Process{PID: 11, State: 'R', Exiting: true, Threads: 1, Start: five}, true},
		{"a main thread on its way out", proc.Process{PID: 11, State: 'R', Exiting: true, Threads: 2, Start: five}, false},
		{"known", proc.Process{PID: 10, State: 'R', Exiting: true, Threads: 1, Start: five}, false},
		{"a known one's next life", proc.Process{PID: 10, State: 'Z', Exiting: true, Threads: 1, Start: clock.At(6e9, clock.Tick)}, true},
	} {
		if got := e.accounted(&tt.p); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
