// SPDX-License-Identifier: Apache-2.0

package clock

import "time"

const (
	// lineTick is what the kernel cuts the life time of a ledger line down to: one
	// tick of AHZ, which is 100 (include/linux/acct.h).
	lineTick = 10 * time.Millisecond
	// between is how much longer a process may have lived by its taskstats record
	// than by its line, which is computed later and cut.
	between = time.Millisecond
	// writing is how far apart the life time of a ledger line and that between the
	// events of start and exit may be: a line is written to a file before the exit is
	// told, which may take its time.
	writing = time.Second
	// sending is the same for a taskstats record, which waits for nobody.
	sending = copying
	// arrival is how far from the exit event the taskstats record of the same death
	// is read.
	arrival = 2 * time.Second
)

// Rounding returns how much a life time may be off of which 24 bits are kept:
// ac_etime of struct acct_v3 (include/uapi/linux/acct.h) is a float.
func Rounding(lived time.Duration) time.Duration { return max(lived, -lived) >> 23 }

// EndOf returns the last moment of a process that began at s and lived for so long
// by its record. A ledger line cuts the life time (coarse), taskstats does not.
func (s Start) EndOf(lived time.Duration, coarse bool) Boot {
	end := s.latest().Add(lived)
	if coarse {
		end = end.Add(lineTick + Rounding(lived))
	}
	return end
}

// LivedByLine reports whether a process that began at s and ended at exit can be
// that of a ledger line, by the life time that the line tells, which has no time in
// that the machine was suspended: asleep at most. It holds however the wall clock
// was set meanwhile. Exit is zero where it is not known.
func (s Start) LivedByLine(exit Boot, told, asleep time.Duration) bool {
	return exit != 0 && lived(exit.Sub(s.Boot()), told, asleep, writing)
}

// LivedByTaskstats is LivedByLine for a taskstats record that was read at came.
func (s Start) LivedByTaskstats(exit, came Boot, told, asleep time.Duration) bool {
	return exit != 0 && near(came.Sub(exit), 0, arrival) && lived(exit.Sub(s.Boot()), told, asleep, sending)
}

// SameAsleep reports whether a process that began at s can be that of a ledger line,
// whose begin is later by what the machine was suspended in the process's life:
// asleep at most. begun is the line's begin, and told the life time without that.
// Exit is zero where it is not known. It comes after the line, and no bound is known
// for how long: files are closed in between (kernel/exit.c, do_exit), some of them
// over a network.
func (s Start) SameAsleep(begun Start, exit Boot, told, asleep time.Duration) bool {
	slept := begun.Boot().Sub(s.Boot())
	return -second <= slept && slept <= asleep+second &&
		(exit == 0 || exit.Sub(begun.Boot()) >= told-second-writing-Rounding(told))
}

// EndsWithin reports whether a process that began at s, by its line, and lived for
// so long can have ended between two times.
func (s Start) EndsWithin(from, to Boot, told time.Duration) bool {
	slack := lineTick + writing + Rounding(told)
	return s.latest().Add(told+slack) >= from && s.earliest().Add(told-slack) <= to
}

// EndedWithin reports whether a process that began at s and lived for so long by its
// line, beside the time that the machine was suspended (asleep at most), can have
// ended between two times.
func (s Start) EndedWithin(from, to Boot, told, asleep time.Duration) bool {
	return s.EndsWithin(from.Add(-asleep), to, told)
}

// Begins reports whether a process that began at s is so young that it can have
// ended by now after a life time of nothing.
func (s Start) Begins(now Boot) bool { return near(now.Sub(s.Boot()), 0, arrival) }

// SameLifetime reports whether a ledger line and a taskstats record, of the same pid
// and begin, tell the same life time.
func SameLifetime(line, taskstats time.Duration) bool {
	longer := taskstats - line
	return -between <= longer && longer <= 2*lineTick+Rounding(line)
}

// SameBegin reports whether two records of one pid, ledger line or taskstats, can
// be of the same death by their ac_btime, in seconds since the epoch. One that is
// computed from a start may stand for either. One that is not known, zero, fits
// all.
func SameBegin(a, b int64) bool {
	if a == 0 || b == 0 {
		return true
	}
	again := int64(grains[Second].again / time.Second)
	return a-b <= again && b-a <= again
}

// lived reports whether a life can have had the told length by CLOCK_MONOTONIC.
func lived(life, told, asleep, slack time.Duration) bool {
	return told-slack <= life && life <= told+asleep+slack
}

func near(a, b, slack time.Duration) bool { return a-b <= slack && b-a <= slack }
