// SPDX-License-Identifier: Apache-2.0

package client

import "time"

// ReportQuery asks what processes used.
type ReportQuery struct {
	// Groups are the names of the groups whose processes count, patterns or parents, as
	// in [UsageQuery]; all processes of the machine when there are none. A parent has a
	// row, in which a process of several of its groups counts once.
	Groups []string
	// Mine counts the caller's own processes alone, by their real uid.
	Mine bool
	// By is what the rows tell apart, one of [ReportBy]; group when it is empty.
	By string
	// Since and Until bound when the processes ended, by whole hours, or whole UTC
	// days where hours are not told apart any more; zero: as far as the history
	// goes.
	Since, Until time.Time
	// Wait waits first until every process that died before is counted, with the
	// best record it will get; bounded by the service.
	Wait bool
}

// ReportBy are the values of [ReportQuery].By.
var ReportBy = []string{"group", "command", "user", "hour", "set"}

// Report is what processes used that ended in a time, added up in rows. What a
// live process used before it changed groups counts, too, as of then. A process
// in several groups counts in the row of each, and once in Total.
type Report struct {
	Time  time.Time   `json:"time"`
	Since time.Time   `json:"since"`
	Until time.Time   `json:"until"`
	By    string      `json:"by"`
	Rows  []ReportRow `json:"rows"`
	// Ungrouped and Unattributed are parts of Total; nothing when groups were
	// named.
	Ungrouped    Spent `json:"ungrouped"`
	Unattributed Spent `json:"unattributed"`
	Total        Spent `json:"total"`
}

// ReportRow is one group, command, user or hour.
type ReportRow struct {
	Group string `json:"group,omitempty"`
	// Groups are all that the processes were in, and UID whose they were, if rows are
	// sets: each process is in one row, and the rows add up to the total. Unattributed:
	// it is not known which groups.
	Groups       []string `json:"groups,omitempty"`
	Unattributed bool     `json:"unattributed,omitempty"`
	Command      string   `json:"command,omitempty"`
	// Host and User are names of hosts and users in a report over several hosts, which
	// elsad makes none of.
	Host string `json:"host,omitempty"`
	User string `json:"user,omitempty"`
	// UID is absent unless rows are users or sets.
	UID *uint32 `json:"uid,omitempty"`
	// Hour is when the hour began, or with Daily the UTC day: hours are told apart
	// for a week only (elsad --history-hours).
	Hour  time.Time `json:"hour,omitzero"`
	Daily bool      `json:"daily,omitempty"`
	Spent
}

// Spent is what processes used. Processes ended, and ElapsedSeconds sums their life
// times.
type Spent struct {
	Processes           uint64  `json:"processes"`
	ElapsedSeconds      float64 `json:"elapsed_seconds"`
	CPUUserSeconds      float64 `json:"cpu_user_seconds"`
	CPUSystemSeconds    float64 `json:"cpu_system_seconds"`
	CPUSeconds          float64 `json:"cpu_seconds"`
	MinorFaults         uint64  `json:"minor_faults"`
	MajorFaults         uint64  `json:"major_faults"`
	ReadBytes           uint64  `json:"read_bytes"`
	WriteBytes          uint64  `json:"write_bytes"`
	ReadChars           uint64  `json:"read_chars"`
	WriteChars          uint64  `json:"write_chars"`
	MaxRSSBytes         uint64  `json:"max_rss_bytes"`
	VoluntarySwitches   uint64  `json:"voluntary_switches"`
	InvoluntarySwitches uint64  `json:"involuntary_switches"`
	// CPUDelaySeconds was spent waiting for a CPU, zero without taskstats.
	CPUDelaySeconds float64 `json:"cpu_delay_seconds"`
	ExitNonzero     uint64  `json:"exit_nonzero"`
	ExitSignal      uint64  `json:"exit_signal"`
	// Exact, Sampled and Rounded add up to Processes; see [Precision].
	Exact    uint64 `json:"exact"`
	Sampled  uint64 `json:"sampled"`
	Rounded  uint64 `json:"rounded"`
	Inferred uint64 `json:"inferred"`
}
