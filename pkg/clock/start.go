// SPDX-License-Identifier: Apache-2.0

package clock

import (
	"fmt"
	"time"
)

// Start is when a process began, and by what kind of source that is known. Two
// of different grains may differ and yet be of one process; see [Start.Same].
// Within one grain Starts can be compared and ordered as numbers: ns<<3 | grain.
// The zero value is not known.
type Start int64

// Grain says by what kind of source a start is known, and so how coarse it is.
type Grain uint8

const (
	// Unknown: nothing tells when the process began.
	Unknown Grain = iota
	// Exact: the kernel's own task_struct.start_boottime, from a BPF program.
	Exact
	// Stamped: the stamp of the fork event (drivers/connector/cn_proc.c,
	// proc_fork_connector).
	Stamped
	// Read: when a fork event that has no stamp was read.
	Read
	// Tick: field 22 of /proc/PID/stat (fs/proc/array.c, do_task_stat).
	Tick
	// Second: ac_btime of a ledger line or of taskstats (kernel/acct.c, fill_ac;
	// kernel/tsacct.c, bacct_add_tsk), converted to CLOCK_BOOTTIME.
	Second

	grainBits = 3
	grainMask = 1<<grainBits - 1
)

func (g Grain) String() string {
	if g > Second {
		return "invalid"
	}
	return grains[g].name
}

const (
	// ProcTick is what /proc cuts starts and times down to: one tick of USER_HZ,
	// which is 100 on every Linux ABI.
	ProcTick = 10 * time.Millisecond
	// skew is how far a stamp, which is converted from CLOCK_MONOTONIC, may be from
	// CLOCK_BOOTTIME: the distance of the two clocks is measured from user space.
	skew = 200 * time.Microsecond
	// copying is how long after the start a fork event is stamped at most:
	// copy_process takes the start, goes on copying, and may be preempted.
	copying = 50 * time.Millisecond
	// reading is how long after the start a fork event is read at most.
	reading = time.Second
	// second is how far ac_btime is from the start at most. The kernel subtracts
	// the life time, cut to seconds, from the wall clock, cut to seconds: up to one
	// second off in either direction, and one tick more, since it reads the coarse
	// clock. Below another second lie the steps of the wall clock that are too
	// small to be noticed.
	second = 2 * time.Second
)

// grains is the table of tolerances. A start that is known by a grain lies at
// most so much earlier, and at most so much later, than the process began. Two
// that are known by the same grain lie at most so far apart (again): sources that
// tell a start once, or always cut it in the same way, are exact among themselves.
// What follows for two starts of different grains is in [Start.Same].
var grains = [1 << grainBits]struct {
	name           string
	earlier, later time.Duration
	again          time.Duration
}{
	Unknown: {name: "unknown"},
	Exact:   {name: "exact"},
	// The event is sent once, by the task that forks, after the start was taken.
	Stamped: {name: "stamped", earlier: skew, later: skew + copying},
	// The clock is that of the start, but the reader may be late.
	Read: {name: "read", later: reading},
	// start_boottime does not change over the life, exec by a thread included
	// (fs/exec.c, de_thread), and is always cut in the same way.
	Tick: {name: "tick", earlier: ProcTick - 1},
	// The line and the taskstats of one death are computed moments apart.
	Second: {name: "second", earlier: second, later: second, again: second},
}

// maxStart is the largest moment a Start can hold, 36 years after boot.
const maxStart = 1<<(63-grainBits) - 1

// At returns the start that a source of grain g told as t. What is more than 36
// years from boot, as in a damaged ledger line, becomes 36 years.
func At(t Boot, g Grain) Start {
	return Start(min(max(t, -maxStart), maxStart)<<grainBits) | Start(g&grainMask)
}

// Begun returns the start that a ledger line or taskstats tell: ac_btime, in
// seconds since the epoch, by a wall clock that showed booted at boot.
func Begun(seconds int64, booted Wall) Start {
	const year2106 = 1<<32 - 1 // ac_btime has 32 bits; nothing overflows within
	return At(Wall(min(max(seconds, 0), year2106)*1e9).Boot(booted), Second)
}

// Boot returns the start as it was told.
func (s Start) Boot() Boot { return Boot(s >> grainBits) }

// Grain returns by what kind of source the start is known.
func (s Start) Grain() Grain { return Grain(s & grainMask) }

// Known reports whether anything tells when the process began.
func (s Start) Known() bool { return s.Grain()-1 < Second }

// String returns the start in nanoseconds and its grain.
func (s Start) String() string { return fmt.Sprintf("%d (%s)", int64(s.Boot()), s.Grain()) }

// earliest and latest bound when the process began.
func (s Start) earliest() Boot { return s.Boot().Add(-grains[s.Grain()].later) }
func (s Start) latest() Boot   { return s.Boot().Add(grains[s.Grain()].earlier) }

// Same reports whether two starts can be of the same process, given that they are
// of the same pid and boot. It is symmetric. One that is not known is the same as
// none.
func (s Start) Same(o Start) bool {
	if !s.Known() || !o.Known() {
		return false
	}
	if s.Grain() == o.Grain() {
		return s.Apart(o) <= grains[s.Grain()].again
	}
	return s.earliest() <= o.latest() && o.earliest() <= s.latest()
}

// Apart returns how far apart two starts were told. Of several that can be the
// same process, the nearest is the likeliest.
func (s Start) Apart(o Start) time.Duration {
	d := s.Boot().Sub(o.Boot())
	return max(d, -d)
}

// MayFork reports whether a process that began at s can have forked one that began
// at child. It can fork only once it runs, which is after its own fork event was
// sent.
func (s Start) MayFork(child Start) bool {
	// Two stamps in order, as nearly always; short enough to be inlined.
	return s&grainMask == Start(Stamped) && (s^child)&grainMask == 0 && s <= child || s.mayFork(child)
}

func (s Start) mayFork(child Start) bool {
	switch {
	case !s.Known() || !child.Known():
		return false
	case s.Grain() == child.Grain():
		return s.Boot() <= child.Boot().Add(grains[s.Grain()].again) // told in order, or cut in the same way
	case s.Grain() == Stamped:
		return s.Boot().Add(-skew) <= child.latest()
	}
	return s.earliest() <= child.latest()
}

// MayForkBefore reports whether a process that began at s and ended at exit can
// have forked one that began at child. Exit may be rounded as by [Rounding]; zero
// means that the process lives.
func (s Start) MayForkBefore(exit Boot, child Start) bool {
	return s.MayFork(child) && (exit == 0 || child.earliest() <= exit.Add(skew+Rounding(exit.Sub(s.Boot()))))
}

// MayBeToldSince reports whether the fork event of the process can be later than
// t: the process itself may have begun a little before.
func (s Start) MayBeToldSince(t Boot) bool {
	return !s.Known() || s.latest().Add(copying) >= t
}
