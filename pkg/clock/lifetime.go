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
// that of a ledger line, by the life time that the line tells. It holds however the
// wall clock was set meanwhile. Exit is zero where it is not known.
func (s Start) LivedByLine(exit Boot, told time.Duration) bool {
	return exit != 0 && near(exit.Sub(s.Boot()), told, writing)
}

// LivedByTaskstats is LivedByLine for a taskstats record that was read at came.
func (s Start) LivedByTaskstats(exit, came Boot, told time.Duration) bool {
	return exit != 0 && near(came.Sub(exit), 0, arrival) && near(exit.Sub(s.Boot()), told, sending)
}

// SameLifetime reports whether a ledger line and a taskstats record, of the same pid
// and begin, tell the same life time.
func SameLifetime(line, taskstats time.Duration) bool {
	longer := taskstats - line
	return -between <= longer && longer <= 2*lineTick+Rounding(line)
}

// SameBegin reports whether two records of one pid, ledger line or taskstats, can
// be of the same death by their ac_btime, in seconds since the epoch. One that is
// computed from a start may stand for either.
func SameBegin(a, b int64) bool {
	again := int64(grains[Second].again / time.Second)
	return a-b <= again && b-a <= again
}

func near(a, b, slack time.Duration) bool { return a-b <= slack && b-a <= slack }
