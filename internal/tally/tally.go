// SPDX-License-Identifier: Apache-2.0

// Package tally has the service's own counters in one table: what it took in,
// what it lost, and what became of it. Status, JSON and metrics go by that table: a
// new counter gets a constant and a line in it, and a member of the answer's struct
// if it is in one.
package tally

// Counter is the place of a counter in [Counts].
type Counter int

// Counts are the counters since the start of the service.
type Counts [Counters]uint64

// Named is a part of a counter.
type Named struct {
	Name  string
	Count uint64
}

// Add adds what d counted.
func (c *Counts) Add(d *Counts) {
	for i, n := range d {
		c[i] += n
	}
}

// The counters.
const (
	// Events received, by kind.
	Forks Counter = iota
	Execs
	Exits
	OtherEvents
	EventsLost     // the kernel could not deliver them
	EventsRejected // messages that were forged or malformed
	EventsIgnored  // they name no possible process
	Rescans        // of /proc, after a loss
	Adopted        // processes whose membership was found late, by their parent
	Evicted        // processes ended by the fork of another with the same pid

	// Records of the dead, by source.
	Lines // of the accounting file
	Taskstats
	Exact
	LinesLost // known to have been written, and gone before they could be read
	TaskstatsLost
	ExactLost
	ExactIncomplete // the figures of some thread are missing
	SkippedBytes    // of the accounting file that were no record
	Gaps            // times that an unknown number of lines may be missing
	Missing         // deaths that never got a line

	// Deaths by how they were put on the bill.
	JoinedExact // with the best record named
	JoinedTaskstats
	JoinedLedger
	JoinedNoLine    // without a line of the accounting file
	JoinedUnknown   // by a line of a process nobody knew
	JoinedDuplicate // lines and records of deaths counted before
	JoinedUnmatched // precise records that met no death
	JoinedLate      // exact records that came after the time they have
	JoinedPart      // records of single threads, left out

	SamplesDenied // samples of live processes without I/O, for want of permission

	Ruled     // processes that a rule put in a group
	RulesLate // processes that ended before the rules could look at them

	// Answers of the system's name service about users and unix groups.
	NamesFound
	NamesUnknown // nobody has the name or number
	NamesFailed  // the service did not answer in time

	// Rows of the journal, from which the archive is made.
	JournalRows
	JournalLost // rows, and better figures for rows, that the disk did not take

	// What was left out because a limit was reached.
	NamesDropped  // users and unix groups known by number, as too many were looked up
	ProcessGroups // a process was in as many groups as one may be, and a rule named another
	HistoryGroups // deaths and moves of processes in more groups, by an early version
	ProcessMemory // reads of another process's memory that were cut
	LooksLate     // looks at processes that did not end in time
	LooksRefused  // not made, since too many were under way
	SumsFull      // sums of all processes that reached their ceiling
	RuleOwners    // a rule named the group of a user, and left a process out
	RuleGroups    // a rule has made as many groups as it may, and left a process out
	RuleEnded     // groups of a rule that had ended made room for another of it
	ReservedNames // users asked for groups that a rule could fill
	UserGroups    // users asked for more groups than they may have
	UserRuns      // groups of ended commands that made room for another of their user
	RequestSizes  // requests that asked for too much at once
	Requests      // requests of users who had too many under way
	Hosts         // HTTP requests for a host that the service is not
	Connections   // refused, or closed to make room
	Answers       // given up because their reader was too slow

	// Counters is how many there are.
	Counters
)

// Section is the object of the status answer that has a counter.
type Section string

// The sections.
const (
	Events  Section = "events"
	Records Section = "records"
	Joined  Section = "joined" // within records
	Samples Section = "samples"
	Rules   Section = "rules"
	Names   Section = "names"
	Journal Section = "journal"
	Limited Section = "limited"
)

// Info says what a counter is called and where it shows.
type Info struct {
	// Section has it under Name, which is unique there.
	Section Section
	Name    string
	// Family is its metric, Value that of the family's label.
	Family *Family
	Value  string
	// Line is the row of elsactl status that has it, One and Many what is counted
	// there. Bytes are shown as such.
	Line      string
	One, Many string
	Bytes     bool
}

// Family is a metric. Label tells its series apart, "" if there is only one.
type Family struct{ Name, Help, Label string }

var (
	events      = Family{"elsa_events_total", "Events received from the kernel.", "kind"}
	records     = Family{"elsa_records_total", "Accounting records received from the kernel.", "source"}
	recordsLost = Family{"elsa_records_lost_total", "Accounting records the kernel could not deliver.", "source"}
	limited     = Family{"elsa_limited_total", "What was left out because a limit was reached.", "limit"}
	names       = Family{"elsa_name_lookups_total", "Questions about users and unix groups to the system's name service.", "answer"}
	rulesMissed = Family{"elsa_rules_missed_total", "Processes that ended before a rule could look at them, by the group of the first that could not.", "rule"}
	joined      = Family{"elsa_records_joined_total", "Deaths put on the bill, by how their records were joined.", "how"}
)

// one is a family of a single series.
func one(name, help string) *Family { return &Family{Name: name, Help: help} }

var table = [Counters]Info{
	Forks:          {Events, "forks", &events, "fork", "events", "fork", "forks", false},
	Execs:          {Events, "execs", &events, "exec", "events", "exec", "execs", false},
	Exits:          {Events, "exits", &events, "exit", "events", "exit", "exits", false},
	OtherEvents:    {Events, "other", &events, "other", "events", "other", "other", false},
	EventsLost:     {Events, "lost", one("elsa_events_lost_total", "Events the kernel could not deliver."), "", "events lost", "lost", "lost", false},
	EventsRejected: {Events, "rejected", one("elsa_events_rejected_total", "Messages rejected as forged or malformed."), "", "events lost", "rejected", "rejected", false},
	EventsIgnored:  {Events, "ignored", one("elsa_events_ignored_total", "Events and processes that name no possible pid."), "", "events lost", "ignored", "ignored", false},
	Rescans:        {Events, "resyncs", one("elsa_resyncs_total", "Scans of /proc to mend membership after loss."), "", "events lost", "rescan of /proc", "rescans of /proc", false},
	Adopted:        {Events, "adopted", one("elsa_processes_adopted_total", "Processes whose membership was found late, by their parent."), "", "membership", "process adopted late", "processes adopted late", false},
	Evicted:        {Events, "evicted", one("elsa_processes_evicted_total", "Processes taken for ended because their pid was forked again."), "", "membership", "evicted by the next of its pid", "evicted by the next of their pid", false},

	Lines:           {Records, "bsd", &records, "bsd", "records", "accounting", "accounting", false},
	Taskstats:       {Records, "taskstats", &records, "taskstats", "records", "taskstats", "taskstats", false},
	Exact:           {Records, "exact", &records, "exact", "records", "exact", "exact", false},
	LinesLost:       {Records, "ledger_lost", &recordsLost, "bsd", "records lost", "accounting", "accounting", false},
	TaskstatsLost:   {Records, "taskstats_lost", &recordsLost, "taskstats", "records lost", "taskstats", "taskstats", false},
	ExactLost:       {Records, "exact_lost", &recordsLost, "exact", "records lost", "exact", "exact", false},
	ExactIncomplete: {Records, "exact_incomplete", one("elsa_exact_incomplete_total", "Exact records that lack the figures of some thread."), "", "records lost", "exact incomplete", "exact incomplete", false},
	SkippedBytes:    {Records, "ledger_skipped_bytes", one("elsa_ledger_skipped_bytes_total", "Bytes of the accounting file that were no record."), "", "records lost", "skipped", "skipped", true},
	Gaps:            {Records, "ledger_gaps", one("elsa_ledger_gaps_total", "Times that an unknown number of lines of the accounting file may be missing."), "", "records lost", "gap", "gaps", false},
	Missing:         {Records, "missing_ledger", one("elsa_ledger_missing_total", "Deaths that never got a line in the accounting file."), "", "records lost", "death without a record", "deaths without a record", false},

	JoinedDuplicate: {Joined, "duplicate", &joined, "duplicate", "deaths billed", "counted before", "counted before", false},
	JoinedExact:     {Joined, "exact", &joined, "exact", "deaths billed", "with an exact record", "with an exact record", false},
	JoinedLate:      {Joined, "late", &joined, "late", "deaths billed", "exact record that came too late", "exact records that came too late", false},
	JoinedLedger:    {Joined, "ledger", &joined, "ledger", "deaths billed", "with the accounting line alone", "with the accounting line alone", false},
	JoinedNoLine:    {Joined, "no_line", &joined, "no_line", "deaths billed", "without an accounting line", "without an accounting line", false},
	JoinedPart:      {Joined, "part", &joined, "part", "deaths billed", "record of a single thread, left out", "records of single threads, left out", false},
	JoinedTaskstats: {Joined, "taskstats", &joined, "taskstats", "deaths billed", "with a taskstats record", "with a taskstats record", false},
	JoinedUnknown:   {Joined, "unknown", &joined, "unknown", "deaths billed", "of a process nobody knew", "of processes nobody knew", false},
	JoinedUnmatched: {Joined, "unmatched", &joined, "unmatched", "deaths billed", "record that met no death", "records that met no death", false},

	SamplesDenied: {Samples, "denied", one("elsa_samples_denied_total", "Samples of live processes without I/O, for want of permission."), "", "samples", "without I/O: not permitted", "without I/O: not permitted", false},

	Ruled:     {Rules, "applied", one("elsa_rules_applied_total", "Processes that a rule put in a group."), "", "rules", "process put in a group", "processes put in groups", false},
	RulesLate: {Rules, "missed", &rulesMissed, "(any)", "rules", "ended before they could be looked at", "ended before they could be looked at", false},

	NamesFound:   {Names, "found", &names, "found", "names", "found", "found", false},
	NamesUnknown: {Names, "unknown", &names, "unknown", "names", "unknown", "unknown", false},
	NamesFailed:  {Names, "failed", &names, "failed", "names", "without an answer", "without an answer", false},

	JournalRows: {Journal, "rows", one("elsa_journal_rows_total", "Rows written to the journal, one for each process that ended and each part of a bill."), "", "journal", "row", "rows", false},
	JournalLost: {Journal, "lost", one("elsa_journal_lost_total", "Rows of the journal, and better figures for rows, that the disk did not take."), "", "journal", "lost", "lost", false},

	NamesDropped:  {Limited, "names", &limited, "names", "limited", "name not looked up", "names not looked up", false},
	ProcessGroups: {Limited, "process_groups", &limited, "process_groups", "limited", "group too many for a process", "groups too many for a process", false},
	HistoryGroups: {Limited, "history_groups", &limited, "history_groups", "limited", "bill under (other) for that", "bills under (other) for that", false},
	SumsFull:      {Limited, "sums", &limited, "sums", "limited", "sum at its ceiling", "sums at their ceiling", false},
	RuleOwners:    {Limited, "rule_owners", &limited, "rule_owners", "rules refused", "left out of a user's group", "left out of users' groups", false},
	RuleGroups:    {Limited, "rule_groups", &limited, "rule_groups", "rules refused", "left out by the limit of its rule", "left out by the limit of their rule", false},
	RuleEnded:     {Limited, "rule_ended", &limited, "rule_ended", "rules refused", "ended group of a rule deleted early", "ended groups of rules deleted early", false},
	ReservedNames: {Limited, "reserved_names", &limited, "reserved_names", "groups refused", "with a name kept for a rule", "with names kept for rules", false},
	UserGroups:    {Limited, "user_groups", &limited, "user_groups", "groups refused", "too many for a user", "too many for users", false},
	UserRuns:      {Limited, "user_runs", &limited, "user_runs", "groups refused", "of ended runs deleted early", "of ended runs deleted early", false},
	RequestSizes:  {Limited, "request_sizes", &limited, "request_sizes", "refused", "request too large", "requests too large", false},
	Requests:      {Limited, "requests", &limited, "requests", "refused", "too many", "too many", false},
	Hosts:         {Limited, "hosts", &limited, "hosts", "refused", "for another host", "for other hosts", false},
	Connections:   {Limited, "connections", &limited, "connections", "refused", "connection too many", "connections too many", false},
	Answers:       {Limited, "answers", &limited, "answers", "refused", "answer given up", "answers given up", false},
	ProcessMemory: {Limited, "process_memory", &limited, "process_memory", "limited", "look at a process's memory cut", "looks at processes' memory cut", false},
	LooksLate:     {Limited, "looks_late", &limited, "looks_late", "limited", "late look at a process", "late looks at processes", false},
	LooksRefused:  {Limited, "looks_refused", &limited, "looks_refused", "limited", "look at a process not made", "looks at processes not made", false},
}

// Info describes the counter. It must not be changed.
func (c Counter) Info() *Info { return &table[c] }
