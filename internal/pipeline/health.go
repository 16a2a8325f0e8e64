// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"time"

	"elsa/pkg/clock"
)

// watch is what the pipeline knows of the health of its sources.
type watch struct {
	next    clock.Boot // when to look again
	forks   uint64     // of /proc/stat, when looked at last
	events  uint64     // fork events then
	silent  int        // looks in a row without events while forks were made
	missing uint64     // deaths without a line, at the last step
	lines   uint64     // lines read, at the last step
	retry   clock.Boot // when to try to get accounting back

	tellLoss  clock.Boot // when to speak of lost events again
	jumped    bool       // the wall clock is far from the calendar
	suspended bool       // the kernel holds back lines
	since     time.Time  // since when
	cause     string     // and why
}
