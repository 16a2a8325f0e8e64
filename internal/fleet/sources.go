// SPDX-License-Identifier: Apache-2.0

// Package fleet reads what hosts delivered: one bill over all of them, and how complete
// it is.
package fleet

import (
	"cmp"
	"slices"
	"time"

	"elsa/internal/query"
	"elsa/internal/ship"
	"elsa/pkg/usage"
)

// source is a host's database, by what its writers say.
type source struct {
	id        string
	manifests []ship.Manifest // in their order
	// hours are the items of the last manifest that are of cells.
	hours map[uint32]*ship.Item
	// twins are the writers that interleave: two hosts with one identity.
	twins map[string]bool
	// through is until when all that was sent is there, of what was looked at.
	through          time.Time
	missing, damaged bool
	host             string
}

// sourcesOf brings manifests in order.
func sourcesOf(list []ship.Manifest) map[string]*source {
	all := map[string]*source{}
	for _, m := range list {
		s := all[m.Source]
		if s == nil {
			s = &source{id: m.Source, twins: map[string]bool{}}
			all[m.Source] = s
		}
		for i := range s.manifests {
			if o := &s.manifests[i]; ship.Interleaved(o, &m) {
				s.twins[o.Writer], s.twins[m.Writer] = true, true
			}
		}
		s.manifests = append(s.manifests, m)
	}
	for _, s := range all {
		slices.SortFunc(s.manifests, func(a, b ship.Manifest) int { return cmp.Compare(a.Last, b.Last) })
		last := s.last()
		s.through, s.host = last.Through, last.Host
		s.hours = make(map[uint32]*ship.Item, len(last.Items))
		for i := range last.Items {
			if item := &last.Items[i]; item.Hour != 0 {
				s.hours[item.Hour] = item
			}
		}
	}
	return all
}

// last is the manifest that counts: that of the writer which came last. It must have one.
func (s *source) last() *ship.Manifest { return &s.manifests[len(s.manifests)-1] }

// rank is the place of a writer among those of the source; before all if nothing is known
// of it.
func (s *source) rank(writer string) int {
	return slices.IndexFunc(s.manifests, func(m ship.Manifest) bool { return m.Writer == writer })
}

// counts is the file that the last manifest names for an hour; nil if it names none, or
// speaks for one of two hosts.
func (s *source) counts(hour uint32) *ship.Item {
	if len(s.twins) > 0 {
		return nil
	}
	return s.hours[hour]
}

func (s *source) final() bool { return len(s.manifests) > 0 && s.last().Final }

// lack says that what was sent of an hour is not there.
func (s *source) lack(hour uint32) {
	s.missing = true
	if at := usage.HourStart(hour); at.Before(s.through) {
		s.through = at
	}
}

// A host that delivers as it should can be behind by so many of its rounds, and by so
// much in any case.
const (
	lagRounds = 3
	minLag    = 15 * time.Minute
)

// state is how complete a host is for what ended in hours from first to before last, until
// end.
func (s *source) state(first, last uint32, end time.Time) query.Host {
	h := query.Host{Host: s.host, Source: s.id, State: query.Complete}
	if len(s.manifests) == 0 {
		h.State = query.Unknown
		return h
	}
	m := s.last()
	h.Through = s.through
	if !m.Final {
		h.Behind = max(0, end.Sub(s.through).Seconds())
	}
	for i := range m.Items {
		h.Files++
		if m.Items[i].Hour != 0 {
			h.Rows += m.Items[i].Rows
			h.CPU += float64(m.Items[i].CPU) / 1e9
		}
	}
	h.LostFiles, h.LostCPU = m.Lost.Items, float64(m.Lost.CPU)/1e9
	switch {
	case len(s.twins) > 0:
		h.State = query.Conflict
	case s.damaged:
		h.State = query.Damaged
	case s.missing:
		h.State = query.Missing
	case m.Lost.Items > 0 && m.Lost.From < last && m.Lost.To >= first:
		h.State = query.Partial
	case h.Behind > max(lagRounds*m.Every, minLag.Seconds()):
		h.State = query.Behind
	}
	return h
}

// completeness says it of all.
func completeness(all map[string]*source, first, last uint32, end time.Time) (c query.Completeness, hosts []query.Host) {
	c.Incomplete, hosts = []query.Host{}, []query.Host{}
	for _, s := range all {
		h := s.state(first, last, end)
		if h.State == query.Complete && s.final() {
			continue // another is in its place
		}
		hosts = append(hosts, h)
		switch h.State {
		case query.Complete:
			if c.Complete++; c.Complete == 1 || h.Through.Before(c.Through) {
				c.Through = h.Through
			}
			if c.Through.After(end) {
				c.Through = end
			}
			continue
		case query.Conflict:
			c.Conflicts++
		}
		c.Incomplete = append(c.Incomplete, h)
	}
	c.Hosts = len(hosts)
	slices.SortFunc(c.Incomplete, func(a, b query.Host) int {
		return cmp.Or(cmp.Compare(b.Behind, a.Behind), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Source, b.Source))
	})
	slices.SortFunc(hosts, func(a, b query.Host) int { return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Source, b.Source)) })
	return c, hosts
}

// statusOf says how far each host has delivered by now, under the names that tell hosts
// apart.
func statusOf(all map[string]*source, now time.Time) ([]query.Host, query.Completeness) {
	c, hosts := completeness(all, 0, ^uint32(0), now)
	names := hostNames(all)
	for i := range hosts {
		hosts[i].Host = names[hosts[i].Source]
	}
	return hosts, c
}

// hostNames are the hosts' names by source. Where several databases that go on have one
// name, the source is told, too.
func hostNames(all map[string]*source) map[string]string {
	living := map[string]int{}
	for _, s := range all {
		if !s.final() {
			living[s.host]++
		}
	}
	names := map[string]string{}
	for id, s := range all {
		names[id] = s.host
		if living[s.host] > 1 {
			names[id] += " (" + id[:8] + ")"
		}
	}
	return names
}
