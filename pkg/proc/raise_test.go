// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A sample that is raised by a later one of the same process has the larger figures,
// and goes on from the I/O that the later one saw.
func TestSampleRaise(t *testing.T) {
	const ms = time.Millisecond
	later := mixedIO{known: true, children: 7, io: ioCounts{read: 9}}
	s := Sample{User: 3 * ms, System: 1 * ms, CPU: 4 * ms, MinorFaults: 5, ReadBytes: 100, WriteChars: 3, MaxRSS: 8, VoluntarySwitches: 2, UID: 1, Comm: name("sh")}
	s.Raise(&Sample{UID: 2, Comm: name("cc"), User: 2 * ms, System: 4 * ms, CPU: 6 * ms, MinorFaults: 6, ReadBytes: 50, WriteChars: 4, MaxRSS: 7, mixed: later})
	want := Sample{User: 3 * ms, System: 3 * ms, CPU: 6 * ms, MinorFaults: 6, ReadBytes: 100, WriteChars: 4, MaxRSS: 8, VoluntarySwitches: 2, UID: 2, Comm: name("cc"), mixed: later}
	if diff := cmp.Diff(want, s, cmp.AllowUnexported(Sample{}, mixedIO{}, ioCounts{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	before := s
	s.Raise(&Sample{CPU: ms, mixed: later})
	if diff := cmp.Diff(before, s, cmp.AllowUnexported(Sample{}, mixedIO{}, ioCounts{})); diff != "" {
		t.Errorf("something fell (-before +after):\n%s", diff)
	}
}
