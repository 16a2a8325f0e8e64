// SPDX-License-Identifier: Apache-2.0

package metrics

// Every metric has its name here and nowhere else: dashboards, rules and
// scripts rely on them.
//
// The figures of processes come once per group (prefixGroup, with label
// "group") and once for each share that is not a group: processes in no group
// (prefixUngrouped), deaths whose membership is not known
// (prefixUnattributed), and processes in any group, each counted once however
// many groups it is in (prefixAnyGroup). The last three add up to everything.
const (
	prefixGroup        = "elsa_group_"
	prefixAnyGroup     = "elsa_any_group_"
	prefixUngrouped    = "elsa_ungrouped_"
	prefixUnattributed = "elsa_unattributed_"

	nameCPU       = "cpu_seconds_total"
	nameProcesses = "processes"
	nameStarted   = "processes_started_total"
	nameEnded     = "processes_ended_total"
	nameRead      = "read_bytes_total"
	nameWrite     = "write_bytes_total"
	nameFaults    = "page_faults_total"
	nameMaxRSS    = "max_rss_bytes"
)

// The service's own metrics.
const (
	nameBuildInfo      = "elsa_build_info"
	nameSourceInfo     = "elsa_source_info"
	nameGroups         = "elsa_groups"
	nameGroupsOmitted  = "elsa_groups_omitted"
	nameTracked        = "elsa_tracked_processes"
	nameMembers        = "elsa_member_processes"
	nameDeaths         = "elsa_deaths_total"
	nameInferred       = "elsa_deaths_inferred_total"
	nameEvents         = "elsa_events_total"
	nameEventsLost     = "elsa_events_lost_total"
	nameEventsRejected = "elsa_events_rejected_total"
	nameResyncs        = "elsa_resyncs_total"
	nameRecords        = "elsa_records_total"
	nameRecordsLost    = "elsa_records_lost_total"
	nameRecordsJoined  = "elsa_records_joined_total"
	nameMissingLedger  = "elsa_ledger_missing_total"
	nameLedgerSkipped  = "elsa_ledger_skipped_bytes_total"
	nameLedgerGaps     = "elsa_ledger_gaps_total"
	nameRefused        = "elsa_refused_total"
	nameSuspended      = "elsa_accounting_suspended"
	nameBacklog        = "elsa_backlog_bytes"
	nameStoreBytes     = "elsa_store_bytes"
	nameConservation   = "elsa_conservation_ratio"
	nameCommitDuration = "elsa_commit_duration_seconds"
)

const (
	labelGroup = "group"
	labelMode  = "mode"
	labelKind  = "kind"
)

// OverflowGroup is the value of label "group" under which the groups beyond
// the limit are summed. No group can have this name: parentheses are not
// allowed in one.
const OverflowGroup = "(other)"
