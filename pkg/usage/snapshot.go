// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"time"

	"elsa/pkg/groups"
)

// GroupTotal is one group's bill at a moment: ended and live together.
type GroupTotal struct {
	Group groups.Group
	Usage Usage
}

// Snapshot is everything a reader may want to know, at one moment. It is
// immutable once published and safe to share.
type Snapshot struct {
	Time time.Time
	// Groups in order of their name.
	Groups []GroupTotal
	// AnyGroup counts a process once however many groups it is in. AnyGroup,
	// Ungrouped and Unattributed add up to Total.
	AnyGroup, Ungrouped, Unattributed, Total Usage
	Service                                  Service
}

// Service is the state of the service itself: its sources, its losses and its
// backlog. Counters count from the creation of the state directory unless
// their comment says since start.
type Service struct {
	// Created is when the state directory was made; the service's counters
	// begin there. Started is when this run of the service became ready.
	Created, Started time.Time
	// EventSource is "proc" or "fork"; Accounting "own", "follow:PATH" or
	// "off"; Taskstats and Exact "on" or "off: reason".
	EventSource, Accounting, Taskstats, Exact string
	// Suspended is true while the kernel holds back ledger lines.
	Suspended bool

	// Events since start, by kind.
	Forks, Execs, Exits, OtherEvents uint64
	// EventsLost, events rejected as forged or malformed, and rescans of
	// /proc, since start.
	EventsLost, EventsRejected, Resyncs uint64
	// Records received since start by source, and lost where the source says.
	RecordsBSD, RecordsTaskstats, RecordsExact uint64
	TaskstatsLost, ExactLost                   uint64
	// LedgerSkipped counts bytes of the accounting file that were no record.
	LedgerSkipped uint64
	// LedgerLost counts lines known to have been written and gone before they
	// could be read, LedgerGaps the times that an unknown number may be missing.
	LedgerLost, LedgerGaps uint64
	// Joined counts deaths since start by how they were put on the bill.
	Joined map[string]uint64
	// MissingLedger counts deaths since start that never got a ledger line.
	MissingLedger uint64
	// Refused counts what was refused or cut since start, by what it was.
	Refused map[string]uint64

	// BacklogBytes is what the ledger holds that is not joined yet.
	BacklogBytes int64
	// Processes and Members count live processes: all, and those in a group.
	Processes, Members int
	// StoreBytes is the size of the database file.
	StoreBytes int64
	// ConservationRatio is (groups + ungrouped + unattributed) CPU over the
	// CPU of all deaths the kernel reported; 1 when nothing was reported.
	ConservationRatio float64
}
