// SPDX-License-Identifier: Apache-2.0

// Package usage adds up what processes used and joins the kernel's records of
// their deaths to the sets of groups they were in.
package usage

import "time"

// Usage is what a set of processes used: a commutative monoid under [Usage.Add]
// with the zero value as its unit. Every field but MaxRSS is a sum.
type Usage struct {
	// Started counts the processes that came in, by fork or by being added;
	// Ended those whose death is on the bill.
	Started, Ended uint64
	// Live counts the processes that are in at the moment of a snapshot. It
	// is derived, never stored.
	Live uint64

	User, System time.Duration
	// Elapsed is the sum of the ended processes' life times, not wall time.
	Elapsed time.Duration

	MinorFaults, MajorFaults                     uint64
	ReadBytes, WriteBytes, ReadChars, WriteChars uint64
	// MaxRSS is the largest resident set any one of the processes had, bytes.
	MaxRSS                                 uint64
	VoluntarySwitches, InvoluntarySwitches uint64

	// ExitNonzero counts exits with a status other than 0, ExitSignal deaths
	// by a signal.
	ExitNonzero, ExitSignal uint64

	// Exact, Sampled and Rounded count ended processes by how well their CPU
	// is known (they add up to Ended). Inferred counts those among them whose
	// membership was found after loss.
	Exact, Sampled, Rounded, Inferred uint64
}

// CPU is user and system time together.
func (u *Usage) CPU() time.Duration { return u.User + u.System }

// Add adds v to u: sums, and the larger MaxRSS.
func (u *Usage) Add(v *Usage) {
	u.Started += v.Started
	u.Ended += v.Ended
	u.Live += v.Live
	u.User += v.User
	u.System += v.System
	u.Elapsed += v.Elapsed
	u.MinorFaults += v.MinorFaults
	u.MajorFaults += v.MajorFaults
	u.ReadBytes += v.ReadBytes
	u.WriteBytes += v.WriteBytes
	u.ReadChars += v.ReadChars
	u.WriteChars += v.WriteChars
	u.MaxRSS = max(u.MaxRSS, v.MaxRSS)
	u.VoluntarySwitches += v.VoluntarySwitches
	u.InvoluntarySwitches += v.InvoluntarySwitches
	u.ExitNonzero += v.ExitNonzero
	u.ExitSignal += v.ExitSignal
	u.Exact += v.Exact
	u.Sampled += v.Sampled
	u.Rounded += v.Rounded
	u.Inferred += v.Inferred
}
