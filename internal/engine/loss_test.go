// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	"elsa/pkg/proc"
)

// What is dead or dying and not known has its line written; what is known, or has
// other threads, is not left out of a look at /proc.
func TestAccounted(t *testing.T) {
	e := newEngine(t, newMachine(), at(time.Minute))
	e.tracker.Fork(1, 10, 5e9)
	e.loss.pending = true
	for _, tt := range []struct {
		name string
		p    proc.Process
		want bool
	}{
		{"alive", proc.Process{PID: 11, State: 'R', Threads: 1, Start: 5e9}, false},
		{"a zombie", proc.Process{PID: 11, State: 'Z', Exiting: true, Threads: 1, Start: 5e9}, true},
		{"between its line and its end", proc.Process{PID: 11, State: 'R', Exiting: true, Threads: 1, Start: 5e9}, true},
		{"a main thread on its way out", proc.Process{PID: 11, State: 'R', Exiting: true, Threads: 2, Start: 5e9}, false},
		{"known", proc.Process{PID: 10, State: 'R', Exiting: true, Threads: 1, Start: 5e9}, false},
		{"a known one's next life", proc.Process{PID: 10, State: 'Z', Exiting: true, Threads: 1, Start: 6e9}, true},
	} {
		if got := e.accounted(&tt.p); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
