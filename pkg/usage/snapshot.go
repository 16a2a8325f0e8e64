// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"slices"
	"time"

	"elsa/internal/tally"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// GroupTotal is one group's bill at a moment: ended and live together.
type GroupTotal struct {
	Group groups.Group
	Usage Usage
}

// Overlap is what processes used that were in all of Groups, which are two or more
// ids, ascending, and in no other group. It is on the bill of each of them.
type Overlap struct {
	Groups []uint32
	Usage  Usage
}

// Union is what the groups of the given indexes used together: what is on the bills of
// several of them counts once.
func (s *Snapshot) Union(groups []int) (sum Usage) {
	in := make(map[uint32]bool, len(groups))
	for _, i := range groups {
		in[s.Groups[i].Group.ID] = true
		sum.Add(&s.Groups[i].Usage)
	}
	for k := range s.Overlaps {
		o, n := &s.Overlaps[k], uint64(0)
		for _, g := range o.Groups {
			if in[g] {
				n++
			}
		}
		for f, u := range o.Usage {
			if n > 1 && !peaks[f] {
				sum[f] -= (n - 1) * u
			}
		}
	}
	for k := range s.Filled {
		p := &s.Filled[k]
		if !in[p.Group] || !slices.ContainsFunc(p.Others, func(g uint32) bool { return in[g] }) {
			continue
		}
		for f, u := range p.Usage {
			if !peaks[f] {
				sum[f] -= u
			}
		}
	}
	return sum
}

// Snapshot is everything a reader may want to know, at one moment. It is
// immutable once published and safe to share.
type Snapshot struct {
	// Time is the moment by the wall clock, and Boot by CLOCK_BOOTTIME.
	Time time.Time
	Boot clock.Boot
	// Groups in order of their name.
	Groups []GroupTotal
	// Overlaps are what was used in several groups at once, for Union.
	Overlaps []Overlap
	// Filled are what groups took of the past of processes that others of them had, for
	// Union. It is on the bill of its group.
	Filled []Filled
	// AnyGroup counts a process once however many groups it is in. AnyGroup,
	// Ungrouped and Unattributed add up to Total.
	AnyGroup, Ungrouped, Unattributed, Total Usage
	// Settled are the ended processes by precision; see [Join.Settled].
	Settled Settled
	Service Service
}

// Service is the state of the service itself: its sources, its losses and its
// backlog.
type Service struct {
	// Created is when the state directory was made; the service's counters
	// begin there. Started is when this run of the service became ready.
	Created, Started time.Time
	// EventSource is "fork", "bpf" or "proc"; Accounting "own", "follow:PATH" or "off";
	// Taskstats and Exact "on", "off" or "off: reason".
	EventSource, Accounting, Taskstats, Exact string
	// Suspended is true while the kernel holds back ledger lines.
	Suspended bool
	// SuspendedSince is since when, by the wall clock, and SuspendedCause why and what
	// would mend it.
	SuspendedSince time.Time
	SuspendedCause string

	// ExactMissing are the kernel's fields that exact records lack: they are zero.
	ExactMissing []string
	// Counts are the service's own counters since start.
	Counts tally.Counts

	// RulesMissed are the processes in Counts[tally.RulesLate], by rule.
	RulesMissed []tally.Named

	// BacklogBytes is what the ledger holds that is not joined yet.
	BacklogBytes int64
	// Processes and Members count live processes: all, and those in a group.
	Processes, Members int
	// Committed is when all that was known was in the database last. Unsaved is since
	// when the disk fails, or does not answer; zero if it takes what it is given.
	Committed, Unsaved time.Time
	// StoreBytes is the size of the database file.
	StoreBytes int64
	// Unaccounted is the CPU time that the machine's CPUs ran since the start, by
	// /proc/stat, and of which no record and no live process tells.
	Unaccounted time.Duration
	// ConservationRatio is (groups + ungrouped + unattributed) CPU of ended processes over
	// what the kernel reported of them and Unaccounted; 1 when there is nothing of either.
	ConservationRatio float64
}
