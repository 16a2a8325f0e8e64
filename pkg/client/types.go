// SPDX-License-Identifier: Apache-2.0

package client

import "time"

// Group is a named set of processes that share a bill.
type Group struct {
	Name string `json:"name"`
	// ID is never reused.
	ID uint32 `json:"id"`
	// State is "open" or "closed".
	State   string    `json:"state"`
	Created time.Time `json:"created"`
	// Closed is absent while the group is open.
	Closed time.Time `json:"closed,omitzero"`
	// Owner is the uid of the user who made the group.
	Owner  uint32            `json:"owner"`
	Labels map[string]string `json:"labels"`
	// Temporary: it was made for one command, or of a template by a rule, and is deleted
	// by itself some time after its last process ended (elsad --run-retention). That of a
	// rule is closed once it has been without processes for a minute, and opens again
	// when the rule, or somebody, puts one there.
	Temporary bool `json:"temporary"`
}

// GroupDetail is a group with its live members, in order of pid.
type GroupDetail struct {
	Group
	Members []Member `json:"members"`
}

// Ungrouped are live processes that are in no group, in order of pid.
type Ungrouped struct {
	Members []Member `json:"members"`
	// Omitted is how many more there are than one answer has: 10000.
	Omitted int `json:"omitted,omitempty"`
}

// Member is a live process in a group, or in none.
type Member struct {
	PID     int       `json:"pid"`
	PPID    int       `json:"ppid"`
	Command string    `json:"command"`
	Started time.Time `json:"started"`
	// CPUSeconds is what the process itself has used since it began.
	CPUSeconds float64 `json:"cpu_seconds"`
	// Groups names every group the process is in.
	Groups []string `json:"groups"`
}

// CreateGroupRequest asks for a new group.
type CreateGroupRequest struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
	// Temporary makes a group for one command: it is closed by itself when it has
	// been without processes for a minute, if nobody else closes it, and deleted
	// some time after (elsad --run-retention).
	Temporary bool `json:"temporary,omitempty"`
}

// AddRequest asks to put running processes in a group. Either all are added or
// none.
type AddRequest struct {
	PIDs []int `json:"pids,omitempty"`
	// LivingOf, in the place of PIDs, takes the live processes that descend from one that
	// may have ended, and itself. There may be none.
	LivingOf *Process `json:"living_of,omitempty"`
	// Tree takes their live descendants too.
	Tree bool `json:"tree,omitempty"`
	// WholeLife charges what they used since they began, not since the call.
	WholeLife bool `json:"whole_life,omitempty"`
	// Move takes them out of every group they were in.
	Move bool `json:"move,omitempty"`
	// Owner is needed of an admin who puts processes in another user's group that
	// are not that user's: its uid. The user will see them.
	Owner *uint32 `json:"owner,omitempty"`
}

// Process is one that lives or has ended.
type Process struct {
	PID int `json:"pid"`
	// Started is when it began; zero is any process that has, or had, the pid.
	Started time.Time `json:"started,omitzero"`
}

// JoinRequest asks to put the process that asks, the one that connected, in a
// group. The process may be in any pid namespace.
type JoinRequest struct {
	// Group is the group to join, made if it is missing. Empty means a fresh
	// temporary group for this process alone: its name is the service's choice, and
	// it is closed by itself when the process ends.
	Group string `json:"group,omitempty"`
	// Labels of the group, if it is made.
	Labels map[string]string `json:"labels,omitempty"`
}

// JoinResult says what was joined.
type JoinResult struct {
	Group string `json:"group"`
	// Created: the group was made for this request.
	Created bool `json:"created"`
}

// AddResult names the processes that are in the group now and were not before.
type AddResult struct {
	Added []int `json:"added"`
}

// RemoveRequest asks to take running processes out of a group. What they used
// so far stays on its bill.
type RemoveRequest struct {
	PIDs []int `json:"pids"`
	// Tree takes their live descendants out too.
	Tree bool `json:"tree,omitempty"`
}

// RemoveResult names the processes that were in the group and no longer are.
type RemoveResult struct {
	Removed []int `json:"removed"`
}

// Usage is what a set of processes used, ended and live together.
type Usage struct {
	ProcessesStarted uint64 `json:"processes_started"`
	ProcessesEnded   uint64 `json:"processes_ended"`
	ProcessesLive    uint64 `json:"processes_live"`

	CPUUserSeconds   float64 `json:"cpu_user_seconds"`
	CPUSystemSeconds float64 `json:"cpu_system_seconds"`
	// CPUSeconds is user and system together.
	CPUSeconds float64 `json:"cpu_seconds"`
	// ElapsedSeconds sums the life times of the ended processes.
	ElapsedSeconds float64 `json:"elapsed_seconds"`

	MinorFaults uint64 `json:"minor_faults"`
	MajorFaults uint64 `json:"major_faults"`
	// ReadBytes and WriteBytes went to or came from storage, ReadChars and
	// WriteChars passed through read(2) and write(2).
	ReadBytes  uint64 `json:"read_bytes"`
	WriteBytes uint64 `json:"write_bytes"`
	ReadChars  uint64 `json:"read_chars"`
	WriteChars uint64 `json:"write_chars"`
	// MaxRSSBytes is the largest resident set of any one process.
	MaxRSSBytes         uint64 `json:"max_rss_bytes"`
	VoluntarySwitches   uint64 `json:"voluntary_switches"`
	InvoluntarySwitches uint64 `json:"involuntary_switches"`
	// CPUDelaySeconds is what the ended processes spent waiting for a CPU, zero
	// without taskstats.
	CPUDelaySeconds float64 `json:"cpu_delay_seconds"`

	// ExitNonzero counts exits with another status than 0, ExitSignal deaths
	// by a signal.
	ExitNonzero uint64 `json:"exit_nonzero"`
	ExitSignal  uint64 `json:"exit_signal"`
}

// Precision counts ended processes by how well their CPU time is known.
type Precision struct {
	Exact   uint64 `json:"exact"`
	Sampled uint64 `json:"sampled"`
	Rounded uint64 `json:"rounded"`
	// Inferred counts those of the above whose membership was found after
	// events were lost.
	Inferred uint64 `json:"inferred"`
}

// GroupUsage is a group with its bill.
type GroupUsage struct {
	Group
	Usage     Usage     `json:"usage"`
	Precision Precision `json:"precision"`
}

// ParentUsage is what the groups used whose names begin with Name, which ends with a
// slash. A process that is in several of them counts once.
type ParentUsage struct {
	Name string `json:"name"`
	// Groups is how many there are.
	Groups    int       `json:"groups"`
	Usage     Usage     `json:"usage"`
	Precision Precision `json:"precision"`
}

// UsageQuery asks for the bills of groups.
type UsageQuery struct {
	// Groups are names of groups, all when there are none; patterns, in which * stands
	// for any text, also with slashes, and ? for one character; and parents: a name that
	// ends with a slash is the sum of all groups whose names begin so.
	Groups []string
	// Mine leaves out groups that are not the caller's: its own, or such that rules made
	// for the caller's processes.
	Mine bool
	// Wait waits first until every process that died before the call is on its bill,
	// bounded by the service.
	Wait bool
}

// UsageReport is the bill of groups at one moment. A process that is in
// several groups counts in each of them, and once in AnyGroup. AnyGroup,
// Ungrouped and Unattributed add up to Total; they are about all processes
// whatever groups were asked for.
type UsageReport struct {
	Time time.Time `json:"time"`
	// CPUs is how many CPUs of the machine are online: no set of processes uses more
	// than so many seconds of CPU time in a second.
	CPUs   int          `json:"cpus"`
	Groups []GroupUsage `json:"groups"`
	// Parents are those that were asked for.
	Parents []ParentUsage `json:"parents,omitempty"`

	AnyGroup     Usage `json:"any_group"`
	Ungrouped    Usage `json:"ungrouped"`
	Unattributed Usage `json:"unattributed"`
	Total        Usage `json:"total"`
}

// Status is the state of the service. Counters of events and records count
// from Started, this run's beginning.
type Status struct {
	Time    time.Time `json:"time"`
	Version string    `json:"version"`
	// Created is when the state directory was made, Started when this run of
	// the service became ready.
	Created time.Time `json:"created"`
	Started time.Time `json:"started"`

	Sources StatusSources `json:"sources"`
	Events  StatusEvents  `json:"events"`
	Records StatusRecords `json:"records"`
	Samples StatusSamples `json:"samples"`
	Rules   StatusRules   `json:"rules"`
	Names   StatusNames   `json:"names"`
	Journal StatusJournal `json:"journal"`
	// Limited counts what was left out because a limit was reached, by the limit's
	// name: "process_groups", times that a rule could not put a process in a group
	// because it was in as many as a process may be in; "history_groups", deaths and
	// moves of processes in more groups than the history tells apart; "sums", figures
	// on top of a sum that is at its largest, 292 years of nanoseconds; "names", users
	// and unix groups that rules knew by number since too many were looked up.
	Limited map[string]uint64 `json:"limited"`

	// Groups counts groups, Processes live processes, and Members those of
	// them that are in a group.
	Groups    int `json:"groups"`
	Processes int `json:"processes"`
	Members   int `json:"members"`
	// BacklogBytes is what the accounting file holds that is not on a bill.
	BacklogBytes int64 `json:"backlog_bytes"`
	// StoreBytes is the size of the database file.
	StoreBytes int64 `json:"store_bytes"`

	// Precision is that of all ended processes since Created.
	Precision    Precision          `json:"precision"`
	Conservation StatusConservation `json:"conservation"`

	// Committed is when all that was known was in the database last. UnsavedSince is
	// since when the disk fails, or does not answer, as while its file system is
	// frozen: figures are those of then, and nothing is lost. It is left out while the
	// disk takes what it is given.
	Committed    time.Time `json:"committed,omitzero"`
	UnsavedSince time.Time `json:"unsaved_since,omitzero"`
}

// StatusSources says where the figures come from.
type StatusSources struct {
	// Events is "fork", "bpf", "proc", or "proc: " and why it is not bpf.
	Events string `json:"events"`
	// Accounting is "own", "follow:PATH" or "off".
	Accounting string `json:"accounting"`
	// Taskstats and Exact are "on" or "off: reason".
	Taskstats string `json:"taskstats"`
	Exact     string `json:"exact"`
	// ExactMissing are fields that this kernel does not have: exact records have
	// zero there.
	ExactMissing []string `json:"exact_missing,omitempty"`
	// Suspended is true while no accounting records come, because the disk is nearly
	// full or another program took accounting; since when, and why with the mend.
	Suspended      bool      `json:"suspended"`
	SuspendedSince time.Time `json:"suspended_since,omitzero"`
	SuspendedCause string    `json:"suspended_cause,omitempty"`
}

// StatusEvents counts process events.
type StatusEvents struct {
	Forks    uint64 `json:"forks"`
	Execs    uint64 `json:"execs"`
	Exits    uint64 `json:"exits"`
	Other    uint64 `json:"other"`
	Lost     uint64 `json:"lost"`
	Rejected uint64 `json:"rejected"`
	// Ignored named no possible process.
	Ignored uint64 `json:"ignored"`
	// Adopted counts processes whose membership was found late, by their parent,
	// and Evicted those taken for ended because their pid was forked again.
	Adopted uint64 `json:"adopted"`
	Evicted uint64 `json:"evicted"`
	// Resyncs counts the rescans of /proc that repaired a loss.
	Resyncs uint64 `json:"resyncs"`
}

// StatusRecords counts the records of dead processes, by source, and what
// became of them.
type StatusRecords struct {
	BSD           uint64 `json:"bsd"`
	Taskstats     uint64 `json:"taskstats"`
	Exact         uint64 `json:"exact"`
	TaskstatsLost uint64 `json:"taskstats_lost"`
	ExactLost     uint64 `json:"exact_lost"`
	// ExactIncomplete counts exact records that lack the figures of some thread.
	ExactIncomplete uint64 `json:"exact_incomplete"`
	// LedgerSkippedBytes were in the accounting file and were no record.
	LedgerSkippedBytes uint64 `json:"ledger_skipped_bytes"`
	// LedgerLost lines were written and gone before they could be read. LedgerGaps
	// are the times that an unknown number may be missing: accounting was off, or a
	// file that was followed was cut or is gone.
	LedgerLost uint64 `json:"ledger_lost"`
	LedgerGaps uint64 `json:"ledger_gaps"`
	// Joined counts deaths by how they were put on the bill.
	Joined map[string]uint64 `json:"joined"`
	// MissingLedger counts deaths that the accounting file never told of.
	MissingLedger uint64 `json:"missing_ledger"`
}

// StatusSamples counts samples of live processes.
type StatusSamples struct {
	// Denied lacked I/O for want of permission (CAP_SYS_PTRACE).
	Denied uint64 `json:"denied"`
}

// StatusRules counts what rules did with processes.
type StatusRules struct {
	// Applied counts the processes that a rule put in a group, Missed those that
	// ended before the rules could look at them.
	Applied uint64 `json:"applied"`
	Missed  uint64 `json:"missed"`
	// UnknownUsers and UnknownUnixGroups are names in rules that nobody has, 20 at most.
	UnknownUsers      []string `json:"unknown_users,omitempty"`
	UnknownUnixGroups []string `json:"unknown_unix_groups,omitempty"`
}

// StatusNames counts questions about users and unix groups to the system's name
// service (getent), beside those that /etc/passwd and /etc/group answer.
type StatusNames struct {
	Found uint64 `json:"found"`
	// Unknown: nobody has the name or number. Failed: the service did not answer in time.
	Unknown uint64 `json:"unknown"`
	Failed  uint64 `json:"failed"`
}

// StatusJournal counts the rows of the journal, which the archive is made from.
type StatusJournal struct {
	Rows uint64 `json:"rows"`
	// Lost are rows, and better figures for rows, that the disk did not take.
	Lost uint64 `json:"lost"`
}

// StatusConservation is the check that no CPU time is lost or counted twice.
type StatusConservation struct {
	// Ratio is all bills together over what the kernel reported, and what is unaccounted;
	// 1 is right.
	Ratio                  float64 `json:"ratio"`
	AnyGroupCPUSeconds     float64 `json:"any_group_cpu_seconds"`
	UngroupedCPUSeconds    float64 `json:"ungrouped_cpu_seconds"`
	UnattributedCPUSeconds float64 `json:"unattributed_cpu_seconds"`
	TotalCPUSeconds        float64 `json:"total_cpu_seconds"`
	// UnaccountedCPUSeconds is what the machine's CPUs ran since this run of the service
	// began, by /proc/stat, and what neither a record nor a live process tells of.
	UnaccountedCPUSeconds float64 `json:"unaccounted_cpu_seconds"`
}
