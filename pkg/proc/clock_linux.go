// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"time"

	"golang.org/x/sys/unix"

	"elsa/pkg/clock"
)

// Now returns the time by CLOCK_BOOTTIME, the clock of process starts.
func Now() clock.Boot { return clock.Boot(readClock(unix.CLOCK_BOOTTIME)) }

// Asleep returns how long the machine was suspended since boot: CLOCK_BOOTTIME
// less CLOCK_MONOTONIC, to some 100 ns. The connector's stamps need it.
func Asleep() time.Duration { return time.Duration(clockOffset(unix.CLOCK_MONOTONIC)) }

// Booted returns the wall clock at boot, by the wall clock as it is set now.
func Booted() clock.Wall { return clock.Wall(-clockOffset(unix.CLOCK_REALTIME)) }

// clockOffset returns CLOCK_BOOTTIME less the given clock. Of some readings in
// a row it takes the one least disturbed in between.
func clockOffset(id int32) int64 {
	var offset int64
	best := int64(-1)
	for range 5 {
		before := readClock(unix.CLOCK_BOOTTIME)
		now := readClock(id)
		after := readClock(unix.CLOCK_BOOTTIME)
		if width := after - before; best < 0 || width < best {
			best, offset = width, before+width/2-now
		}
	}
	return offset
}

// readClock reads one of the system's clocks, which cannot fail.
func readClock(id int32) int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(id, &t); err != nil {
		panic("proc: read clock: " + err.Error())
	}
	return t.Nano()
}

// The kinds of CPU clock a process has (linux/posix-timers.h: CPUCLOCK_*).
const (
	clockProf  = 0 // user and system time, as sampled by the tick
	clockVirt  = 1 // user time, as sampled by the tick
	clockSched = 2 // run time, as measured by the scheduler
)

// cpuClock reads a CPU clock of a process by its pid (linux/posix-timers.h:
// make_process_cpuclock). It covers all threads, dead ones included, and not
// child processes. A zombie's clock can be read; without a process of that pid,
// also when it is a thread's id, the error is EINVAL. It takes no privilege.
func cpuClock(pid int32, kind int32) (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(^pid<<3|kind, &t); err != nil {
		return 0, err
	}
	return time.Duration(t.Nano()), nil
}
