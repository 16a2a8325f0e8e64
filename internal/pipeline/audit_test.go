// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"testing"
	"time"

	"elsa/pkg/clock"
	"elsa/pkg/proc"
)

// What the machine ran and nobody is known to have used is found within two readings,
// less what ticks may be off by; what is billed a moment late, noise and ticks that
// deceive are not taken for it.
func TestAudit(t *testing.T) {
	const s, cpus = time.Second, 2
	type step struct{ ran, known, idle time.Duration } // in ten seconds
	for name, tt := range map[string]struct {
		steps       []step
		least, most time.Duration
	}{
		"all is known":            {[]step{{10 * s, 10 * s, 10 * s}, {20 * s, 20 * s, 0}, {0, 0, 20 * s}}, 0, 0},
		"noise":                   {[]step{{10 * s, 9800 * time.Millisecond, 10 * s}, {10 * s, 10200 * time.Millisecond, 10 * s}, {10 * s, 9700 * time.Millisecond, 10 * s}, {10 * s, 9700 * time.Millisecond, 10 * s}}, 0, 0},
		"billed later":            {[]step{{10 * s, 4 * s, 10 * s}, {10 * s, 16 * s, 10 * s}, {10 * s, 10 * s, 10 * s}}, 0, 0},
		"a long life ends":        {[]step{{10 * s, -36000 * s, 10 * s}, {10 * s, 36020 * s, 10 * s}, {10 * s, 10 * s, 10 * s}}, 0, 0},
		"lost":                    {[]step{{10 * s, 4 * s, 10 * s}, {10 * s, 10 * s, 10 * s}}, 5 * s, 6 * s},
		"lost twice":              {[]step{{10 * s, 4 * s, 10 * s}, {10 * s, 10 * s, 10 * s}, {10 * s, 4 * s, 10 * s}, {10 * s, 10 * s, 10 * s}}, 10 * s, 12 * s},
		"lost all the time":       {[]step{{10 * s, 4 * s, 10 * s}, {10 * s, 4 * s, 10 * s}, {10 * s, 4 * s, 10 * s}, {10 * s, 4 * s, 10 * s}}, 15 * s, 24 * s},
		"ticks meet a short task": {[]step{{10 * s, s, 19 * s}, {10 * s, s, 19 * s}, {10 * s, s, 19 * s}}, 0, 0},
	} {
		var a audit
		r := balance{at: clock.Boot(1e12), cpus: cpus, machine: proc.MachineTime{Ran: 1000 * s, Idle: 5000 * s}, known: 999 * s}
		a.add(r)
		for _, st := range tt.steps {
			was := a.missing
			r.at += clock.Boot(10 * s)
			r.machine.Ran += st.ran
			r.machine.Idle += st.idle
			r.known += st.known
			if a.add(r); a.missing < was {
				t.Errorf("%s: fell from %v to %v", name, was, a.missing)
			}
		}
		if a.missing < tt.least || a.missing > tt.most {
			t.Errorf("%s: %v are missing, want %v to %v", name, a.missing, tt.least, tt.most)
		}
	}
}

// A CPU that comes or goes makes two readings that cannot be compared.
func TestAuditCPUs(t *testing.T) {
	var a audit
	for i := range 4 {
		a.add(balance{at: clock.Boot(i * 10e9), cpus: 2 + i, machine: proc.MachineTime{Ran: time.Duration(i) * 10 * time.Second}})
	}
	if a.missing != 0 {
		t.Errorf("%v are missing", a.missing)
	}
}
