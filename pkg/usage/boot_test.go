// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"testing"
	"time"

	"elsa/pkg/acct"
	"elsa/pkg/groups"
)

// A death of the last boot is not corrected by the record of a process of this one
// that has the same pid and began as long after boot.
func TestEndBoot(t *testing.T) {
	j := newTestJoin(true)
	j.Unledgered(groups.Life{PID: 7, Start: stamped(3 * sec), Exit: 4 * sec, Set: 2}, now)
	j.Unledgered(groups.Life{PID: 7, Start: stamped(5 * sec), Exit: 6 * sec, Set: 2}, now)
	j.EndBoot(func(k groups.Key) bool { return k.Start == stamped(3*sec) })
	j.Precise(&acct.Record{Source: acct.Exact, Whole: true, PID: 7, Start: 3 * sec, CPU: time.Second, ExitCode: 9}, now)
	if u := j.Total(2); u[Ended] != 2 || u.CPU() != 0 || u[ExitSignal] != 0 {
		t.Errorf("a death of the last boot has %+v, want two without CPU time", u)
	}
	if n := j.Held(); n != 1 {
		t.Errorf("%d records are held, want the one of this boot", n)
	}
}
