// SPDX-License-Identifier: Apache-2.0

package api

import (
	"maps"
	"reflect"

	"elsa/internal/tally"
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

// StatusFromSnapshot reports on the service itself; version is the daemon's.
func StatusFromSnapshot(s *usage.Snapshot, version string) Status {
	v := &s.Service
	st := Status{
		Time: s.Time.UTC(), Version: version,
		Created: v.Created.UTC(), Started: v.Started.UTC(),
		Sources: StatusSources{
			Events: v.EventSource, Accounting: v.Accounting,
			Taskstats: v.Taskstats, Exact: v.Exact, ExactMissing: v.ExactMissing, Suspended: v.Suspended, SuspendedSince: v.SuspendedSince.UTC(), SuspendedCause: v.SuspendedCause,
		},
		Groups: len(s.Groups), Processes: v.Processes, Members: v.Members,
		BacklogBytes: v.BacklogBytes, StoreBytes: v.StoreBytes,
		Precision: fromPrecision(&s.Total),
		Conservation: StatusConservation{
			Ratio:                  v.ConservationRatio,
			AnyGroupCPUSeconds:     s.AnyGroup.CPU().Seconds(),
			UngroupedCPUSeconds:    s.Ungrouped.CPU().Seconds(),
			UnattributedCPUSeconds: s.Unattributed.CPU().Seconds(),
			TotalCPUSeconds:        s.Total.CPU().Seconds(),
		},
	}
	if !v.Committed.IsZero() {
		st.Committed = v.Committed.UTC()
	}
	if !v.Unsaved.IsZero() {
		st.UnsavedSince = v.Unsaved.UTC()
	}
	showCounts(&st, &v.Counts)
	return st
}

// showCounts fills the members of a status that show the service's counters.
func showCounts(st *Status, counts *tally.Counts) {
	st.Records.Joined, st.Limited = map[string]uint64{}, map[string]uint64{}
	for c := range tally.Counters {
		i := c.Info()
		var section any
		switch i.Section {
		case tally.Events:
			section = &st.Events
		case tally.Records:
			section = &st.Records
		case tally.Joined:
			st.Records.Joined[i.Name] = counts[c]
			continue
		case tally.Limited:
			st.Limited[i.Name] = counts[c]
			continue
		case tally.Samples:
			section = &st.Samples
		case tally.Rules:
			section = &st.Rules
		case tally.Names:
			section = &st.Names
		case tally.Journal:
			section = &st.Journal
		}
		v := reflect.ValueOf(section).Elem()
		for k := range v.NumField() {
			if jsonName(v.Type().Field(k)) == i.Name {
				v.Field(k).SetUint(counts[c])
			}
		}
	}
}
