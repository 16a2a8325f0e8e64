// SPDX-License-Identifier: Apache-2.0

package api

import (
	"maps"
	"reflect"
	"slices"

	"elsa/internal/tally"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// FromSnapshot reports on the groups that names stand for, each once and in the order
// asked for, or on all groups when names is empty; of these on those that wants, which
// may be nil, holds for. A name that stands for no group is a 404 [Error].
func FromSnapshot(s *usage.Snapshot, names []string, wants func(*groups.Group) bool) (UsageReport, error) {
	r := UsageReport{
		Time:         s.Time.UTC(),
		Groups:       make([]GroupUsage, 0, len(s.Groups)),
		AnyGroup:     FromUsage(&s.AnyGroup),
		Ungrouped:    FromUsage(&s.Ungrouped),
		Unattributed: FromUsage(&s.Unattributed),
		Total:        FromUsage(&s.Total),
	}
	wanted := func(i int) bool { return wants == nil || wants(&s.Groups[i].Group) }
	if len(names) == 0 {
		for i := range s.Groups {
			if wanted(i) {
				r.Groups = append(r.Groups, fromTotal(&s.Groups[i]))
			}
		}
		return r, nil
	}
	found, err := Select(names, len(s.Groups), func(i int) string { return s.Groups[i].Group.Name })
	if err != nil {
		return UsageReport{}, err
	}
	for _, i := range found.Groups {
		if wanted(i) {
			r.Groups = append(r.Groups, fromTotal(&s.Groups[i]))
		}
	}
	for _, p := range found.Parents {
		p.Groups = slices.DeleteFunc(p.Groups, func(i int) bool { return !wanted(i) })
		sum := s.Union(p.Groups)
		r.Parents = append(r.Parents, ParentUsage{Name: p.Name, Groups: len(p.Groups), Usage: FromUsage(&sum), Precision: fromPrecision(&sum)})
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
			UnaccountedCPUSeconds:  v.Unaccounted.Seconds(),
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
