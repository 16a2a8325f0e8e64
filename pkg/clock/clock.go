// SPDX-License-Identifier: Apache-2.0

// Package clock tells the kernel's clocks apart, and knows how well each source
// tells when a process began. Moments of different clocks have different types,
// and go from one to another only by the conversions here. A process is its pid
// and its [Start]; whether two sources mean the same process is decided in this
// package alone. It reads no clock and holds no state.
package clock

import "time"

// Boot is a moment in nanoseconds of CLOCK_BOOTTIME, which counts from boot,
// runs on during suspend and knows no steps (clock_gettime(2)). It is the clock
// of process starts: task_struct.start_boottime of include/linux/sched.h.
type Boot int64

// Mono is a moment in nanoseconds of CLOCK_MONOTONIC, which counts from boot and
// stands still during suspend. It is the clock of the process connector's stamps
// (proc_event.timestamp_ns of include/uapi/linux/cn_proc.h).
type Mono int64

// Wall is a moment by the wall clock (CLOCK_REALTIME) in nanoseconds of UTC since
// the epoch. It jumps when the clock is set.
//
// As the wall clock at boot it converts between [Boot] and Wall: the wall clock,
// as it is set at some moment, less CLOCK_BOOTTIME at that moment.
type Wall int64

// Add returns the moment d after b.
func (b Boot) Add(d time.Duration) Boot { return b + Boot(d) }

// Sub returns how long after o the moment b is.
func (b Boot) Sub(o Boot) time.Duration { return time.Duration(b - o) }

// Wall returns b by a wall clock that showed booted at boot.
func (b Boot) Wall(booted Wall) Wall { return Wall(b) + booted }

// Boot returns m by CLOCK_BOOTTIME of a machine that has been asleep for so long
// by then: CLOCK_BOOTTIME less CLOCK_MONOTONIC.
func (m Mono) Boot(asleep time.Duration) Boot { return Boot(m) + Boot(asleep) }

// Boot returns w by CLOCK_BOOTTIME, where the wall clock showed booted at boot.
func (w Wall) Boot(booted Wall) Boot { return Boot(w - booted) }

// AtBoot returns what the wall clock showed at boot, if it shows w at b.
func (w Wall) AtBoot(b Boot) Wall { return w - Wall(b) }

// Add returns the moment d after w.
func (w Wall) Add(d time.Duration) Wall { return w + Wall(d) }

// Sub returns how long after o the moment w is.
func (w Wall) Sub(o Wall) time.Duration { return time.Duration(w - o) }

// Seconds returns w in whole seconds since the epoch, rounded towards the epoch.
func (w Wall) Seconds() int64 { return int64(w) / 1e9 }

// Time returns w as a time in UTC.
func (w Wall) Time() time.Time { return time.Unix(0, int64(w)).UTC() }

// WallOf returns a time as a moment of the wall clock. The time must be within
// the years 1678 to 2262.
func WallOf(t time.Time) Wall { return Wall(t.UnixNano()) }

// Setting is how the wall clock was set from a moment on: Booted is what it showed at
// boot by that.
type Setting struct {
	From   Boot
	Booted Wall
}

// Settings are how the wall clock was set in one boot, ascending. They tell what it showed
// at a moment, also after it was set to another time.
type Settings []Setting

// Wall returns what the wall clock showed at b. Before the first setting that is taken to
// have been in force. Without any, b itself is returned.
func (s Settings) Wall(b Boot) Wall {
	var booted Wall
	for i := range s {
		if i == 0 || s[i].From <= b {
			booted = s[i].Booted
		}
	}
	return b.Wall(booted)
}
