// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/engine"
	"elsa/pkg/proc"
)

// readNow reads the clocks. The time has no reading of Go's monotonic clock, by which
// differences would hide that the wall clock was set.
func readNow() engine.Now { return engine.Now{Boot: proc.Now(), Wall: time.Now().Round(0)} }

// schedulerTick is the length of the scheduler's tick, by which the coarse clock
// goes; zero if the kernel does not tell.
func schedulerTick() time.Duration {
	var tick unix.Timespec
	if unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &tick) != nil {
		return 0
	}
	return time.Duration(tick.Nano())
}
