// SPDX-License-Identifier: Apache-2.0

package metrics

// Dashboards, rules and scripts rely on the names of metrics. Those of the figures
// of processes are in the table of package usage, those of the service's counters in
// that of package tally, all others here.
//
// The figures of processes come once per group (prefixGroup, with label
// "group"), for processes in no group (UngroupedGroup) and deaths whose membership
// is not known (UnattributedGroup), and once for processes in any group, each counted
// once however many groups it is in (prefixAnyGroup). The last three add up to
// everything. prefixUngrouped and prefixUnattributed are what the first two of these
// were called before; they go with the next version.
const (
	prefixGroup        = "elsa_group_"
	prefixAnyGroup     = "elsa_any_group_"
	prefixUngrouped    = "elsa_ungrouped_"
	prefixUnattributed = "elsa_unattributed_"
)

// The service's own metrics that are no counters of package tally.
const (
	nameBuildInfo      = "elsa_build_info"
	nameSourceInfo     = "elsa_source_info"
	nameGroups         = "elsa_groups"
	nameGroupsOmitted  = "elsa_groups_omitted"
	nameTracked        = "elsa_tracked_processes"
	nameMembers        = "elsa_member_processes"
	nameDeaths         = "elsa_deaths_total"
	nameInferred       = "elsa_deaths_inferred_total"
	nameExactMissing   = "elsa_exact_missing_fields"
	nameSuspended      = "elsa_accounting_suspended"
	nameBacklog        = "elsa_backlog_bytes"
	nameStoreBytes     = "elsa_store_bytes"
	nameUnsaved        = "elsa_unsaved_seconds"
	nameConservation   = "elsa_conservation_ratio"
	nameUnaccounted    = "elsa_unaccounted_cpu_seconds_total"
	nameGroupInfo      = "elsa_group_info"
	nameBudget         = "elsa_group_budget_ratio"
	nameCommitDuration = "elsa_commit_duration_seconds"
)

const (
	labelGroup = "group"
	labelOwner = "owner"
)

// UngroupedGroup and UnattributedGroup are values of label "group" for processes in no
// group, and for such whose groups are not known.
const (
	UngroupedGroup    = "(ungrouped)"
	UnattributedGroup = "(unattributed)"
)

// OverflowGroup is the value of label "group" under which the groups beyond
// the limit are summed. No group can have this name: parentheses are not
// allowed in one.
const OverflowGroup = "(other)"
