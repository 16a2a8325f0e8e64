// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"time"

	"golang.org/x/sys/unix"
)

// Boottime returns CLOCK_BOOTTIME in nanoseconds: the clock of process start
// times. It runs on during suspend and knows no steps.
func Boottime() int64 { return readClock(unix.CLOCK_BOOTTIME) }

// BoottimeOffset returns CLOCK_BOOTTIME less CLOCK_MONOTONIC in nanoseconds,
// to some 100 ns: add it to the connector's time stamps. It grows in suspend only.
func BoottimeOffset() int64 { return clockOffset(unix.CLOCK_MONOTONIC) }

// BootTime returns the wall clock time of boot, by the wall clock as it is set
// now: add a process's start time to it.
func BootTime() time.Time { return time.Unix(0, -clockOffset(unix.CLOCK_REALTIME)) }

// clockOffset returns CLOCK_BOOTTIME less the given clock. Of some readings in
// a row it takes the one least disturbed in between.
func clockOffset(clock int32) int64 {
	var offset int64
	best := int64(-1)
	for range 5 {
		before := Boottime()
		now := readClock(clock)
		after := Boottime()
		if width := after - before; best < 0 || width < best {
			best, offset = width, before+width/2-now
		}
	}
	return offset
}

// readClock reads one of the system's clocks, which cannot fail.
func readClock(clock int32) int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
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
