// SPDX-License-Identifier: Apache-2.0

package api

import (
	"maps"

	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// FromSnapshot reports on the named groups, each once and in the order asked
// for, or on all groups when names is empty. A name that no group has is a 404
// [Error].
func FromSnapshot(s *usage.Snapshot, names []string) (UsageReport, error) {
	r := UsageReport{
		Time:         s.Time.UTC(),
		Groups:       make([]GroupUsage, 0, len(s.Groups)),
		AnyGroup:     FromUsage(&s.AnyGroup),
		Ungrouped:    FromUsage(&s.Ungrouped),
		Unattributed: FromUsage(&s.Unattributed),
		Total:        FromUsage(&s.Total),
	}
	if len(names) == 0 {
		for i := range s.Groups {
			r.Groups = append(r.Groups, fromTotal(&s.Groups[i]))
		}
		return r, nil
	}
	byName := make(map[string]*usage.GroupTotal, len(s.Groups))
	for i := range s.Groups {
		byName[s.Groups[i].Group.Name] = &s.Groups[i]
	}
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		g, ok := byName[name]
		if !ok {
			return UsageReport{}, NoSuchGroup(name)
		}
		if !seen[name] {
			seen[name] = true
			r.Groups = append(r.Groups, fromTotal(g))
		}
	}
	return r, nil
}

// NoSuchGroup is the 404 [Error] for a group that does not exist.
func NoSuchGroup(name string) *Error { return NotFound("no group is named %s", name) }

func fromTotal(t *usage.GroupTotal) GroupUsage {
	return GroupUsage{Group: FromGroup(&t.Group), Usage: FromUsage(&t.Usage), Precision: fromPrecision(&t.Usage)}
}

// FromGroup converts a group.
func FromGroup(g *groups.Group) Group {
	w := Group{
		Name: g.Name, ID: g.ID, State: g.State(), Owner: g.Owner,
		Created: g.Created.UTC(), Labels: maps.Clone(g.Labels), Temporary: g.Temporary,
	}
	if !g.Open() {
		w.Closed = g.Closed.UTC()
	}
	if w.Labels == nil {
		w.Labels = map[string]string{}
	}
	return w
}

// FromUsage converts a usage vector to base units.
func FromUsage(u *usage.Usage) Usage {
	return Usage{
		ProcessesStarted: u.Started, ProcessesEnded: u.Ended, ProcessesLive: u.Live,
		CPUUserSeconds: u.User.Seconds(), CPUSystemSeconds: u.System.Seconds(),
		CPUSeconds: u.CPU().Seconds(), ElapsedSeconds: u.Elapsed.Seconds(),
		MinorFaults: u.MinorFaults, MajorFaults: u.MajorFaults,
		ReadBytes: u.ReadBytes, WriteBytes: u.WriteBytes,
		ReadChars: u.ReadChars, WriteChars: u.WriteChars,
		MaxRSSBytes:       u.MaxRSS,
		VoluntarySwitches: u.VoluntarySwitches, InvoluntarySwitches: u.InvoluntarySwitches,
		ExitNonzero: u.ExitNonzero, ExitSignal: u.ExitSignal,
	}
}

func fromPrecision(u *usage.Usage) Precision {
	return Precision{Exact: u.Exact, Sampled: u.Sampled, Rounded: u.Rounded, Inferred: u.Inferred}
}

// StatusFromSnapshot reports on the service itself; version is the daemon's.
func StatusFromSnapshot(s *usage.Snapshot, version string) Status {
	v := &s.Service
	st := Status{
		Time: s.Time.UTC(), Version: version,
		Created: v.Created.UTC(), Started: v.Started.UTC(),
		Sources: StatusSources{
			Events: v.EventSource, Accounting: v.Accounting,
			Taskstats: v.Taskstats, Exact: v.Exact, Suspended: v.Suspended,
		},
		Events: StatusEvents{
			Forks: v.Forks, Execs: v.Execs, Exits: v.Exits, Other: v.OtherEvents,
			Lost: v.EventsLost, Rejected: v.EventsRejected, Resyncs: v.Resyncs,
		},
		Records: StatusRecords{
			BSD: v.RecordsBSD, Taskstats: v.RecordsTaskstats, Exact: v.RecordsExact,
			TaskstatsLost: v.TaskstatsLost, ExactLost: v.ExactLost,
			LedgerSkippedBytes: v.LedgerSkipped, LedgerLost: v.LedgerLost, LedgerGaps: v.LedgerGaps,
			Joined: maps.Clone(v.Joined), MissingLedger: v.MissingLedger,
		},
		Groups: len(s.Groups), Processes: v.Processes, Members: v.Members,
		Refused: maps.Clone(v.Refused), BacklogBytes: v.BacklogBytes, StoreBytes: v.StoreBytes,
		Precision: fromPrecision(&s.Total),
		Conservation: StatusConservation{
			Ratio:                  v.ConservationRatio,
			AnyGroupCPUSeconds:     s.AnyGroup.CPU().Seconds(),
			UngroupedCPUSeconds:    s.Ungrouped.CPU().Seconds(),
			UnattributedCPUSeconds: s.Unattributed.CPU().Seconds(),
			TotalCPUSeconds:        s.Total.CPU().Seconds(),
		},
	}
	if st.Records.Joined == nil {
		st.Records.Joined = map[string]uint64{}
	}
	if st.Refused == nil {
		st.Refused = map[string]uint64{}
	}
	return st
}
