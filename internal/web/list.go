// SPDX-License-Identifier: Apache-2.0

package web

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"elsa/internal/tally"
	"elsa/pkg/usage"
)

const (
	rowsPerPage = 100
	sparkWidth  = 160
	sparkHeight = 28
)

// list is the content of the first page.
type list struct {
	Columns []heading
	Rows    []*line
	// Shares are what is not one group's: all, any group, none, not known.
	Shares  []*line
	Spans   []choice
	BusyURL string
	CPUs    int
	// Accounted is the part of the CPU time that is on a bill, in percent.
	Accounted string
	Service   usage.Service
	Total     usage.Usage
	// EventsLost since the service started.
	EventsLost uint64
	// Query is what was asked for; All counts the groups, Matching those that
	// the filter leaves, From and To the rows shown, counted from 1.
	Query                   query
	All, Matching, From, To int
	Previous, Next          string
	// Uncharted counts active groups for which there is no room in the past.
	Uncharted int
}

// line is one row of the table.
type line struct {
	Name, URL, State string
	Now              float64
	// InSpan is what was used in the time that the chart is of.
	InSpan time.Duration
	Chart  *chart
	Usage  *usage.Usage
	values []float64
}

// heading is a column of the table, and how to sort by it.
type heading struct {
	Text, URL string
	// Sorted is "", "ascending" or "descending", as in aria-sort.
	Sorted string
	// Wide leaves the column out on a narrow screen.
	Wide bool
}

// column is what the table can be sorted by; compare is in ascending order.
type column struct {
	key, text string
	compare   func(a, b *line) int
}

var columns = []column{
	{"name", "Group", func(a, b *line) int { return strings.Compare(a.Name, b.Name) }},
	{"now", "CPU now", func(a, b *line) int { return cmp.Compare(a.Now, b.Now) }},
	{"span", "CPU used then", func(a, b *line) int { return cmp.Compare(a.InSpan, b.InSpan) }},
	{"cpu", "CPU total", func(a, b *line) int { return cmp.Compare(a.Usage.CPU(), b.Usage.CPU()) }},
	{"live", "Live", func(a, b *line) int { return cmp.Compare(a.Usage[usage.Live], b.Usage[usage.Live]) }},
	{"ended", "Ended", func(a, b *line) int { return cmp.Compare(a.Usage[usage.Ended], b.Usage[usage.Ended]) }},
	{"rss", "Peak memory", func(a, b *line) int { return cmp.Compare(a.Usage[usage.MaxRSS], b.Usage[usage.MaxRSS]) }},
	{"read", "Read", func(a, b *line) int { return cmp.Compare(a.Usage[usage.ReadBytes], b.Usage[usage.ReadBytes]) }},
	{"write", "Written", func(a, b *line) int { return cmp.Compare(a.Usage[usage.WriteBytes], b.Usage[usage.WriteBytes]) }},
}

func (p *Page) serveList(w http.ResponseWriter, r *http.Request) {
	s := p.snapshot(w, r)
	if s == nil {
		return
	}
	q := parseQuery(r.URL.Query())
	k, err := p.past(r.Context(), q.Span, s)
	if err != nil {
		p.unread(w, err)
		return
	}
	l := p.makeList(q, s, k)
	p.render(w, http.StatusOK, "list", frame{
		Title: "Groups", Time: s.Time, Content: l,
		Refresh: l.Query.Refresh, RefreshURL: l.Query.toggleRefresh(),
	})
}

// makeList gathers the content of the first page; k is nil for the last hour.
func (p *Page) makeList(q query, s *usage.Snapshot, k *past) *list {
	if k == nil {
		q.Span = spans[0]
	}
	l := &list{Query: q, Service: s.Service, Total: s.Total, EventsLost: s.Service.Counts[tally.EventsLost], All: len(s.Groups),
		BusyURL: q.toggleBusy(), CPUs: p.opts.CPUs, Accounted: fmt.Sprintf("%.2f %%", 100*s.Service.ConservationRatio)}
	if p.opts.Cells != nil {
		l.Spans = choices(q.Span, q.of)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	h := &p.history

	rows := make([]*line, 0, len(s.Groups))
	for i := range s.Groups {
		g := &s.Groups[i]
		if strings.Contains(g.Group.Name, q.Filter) {
			ring := h.rings[g.Group.ID]
			row := &line{Name: g.Group.Name, State: g.Group.State(), Usage: &g.Usage, Now: h.now(ring)}
			if k != nil {
				row.values, row.InSpan = k.cores(k.groups[g.Group.ID])
			} else {
				row.values, row.InSpan = h.cores(ring), h.used(ring)
			}
			if !q.Busy || row.InSpan > 0 || row.Now > 0 {
				rows = append(rows, row)
			}
		}
	}
	for _, c := range columns {
		head := heading{Text: c.text, URL: q.sortedBy(c.key), Wide: !slices.Contains([]string{"name", "now", "span", "live"}, c.key)}
		if c.key == q.Sort {
			head.Sorted = q.Order
			slices.SortStableFunc(rows, func(a, b *line) int {
				if q.Order == descending {
					return c.compare(b, a)
				}
				return c.compare(a, b)
			})
		}
		l.Columns = append(l.Columns, head)
	}

	l.Matching, l.Uncharted = len(rows), h.turnedAway
	first := min(q.Page-1, max(len(rows)-1, 0)/rowsPerPage) * rowsPerPage
	l.Rows = rows[first:min(first+rowsPerPage, len(rows))]
	l.From, l.To = first+1, first+len(l.Rows)
	if first > 0 {
		l.Previous = q.page(first / rowsPerPage)
	}
	if l.To < len(rows) {
		l.Next = q.page(first/rowsPerPage + 2)
	}
	for _, row := range l.Rows {
		row.URL = groupURL(row.Name, q.Span, 0)
		row.Chart = draw(row.values, sparkWidth, sparkHeight, q.Span, s.Time)
	}
	shares := []struct {
		name string
		ring *ring
		past []float64
		u    *usage.Usage
	}{
		{"all processes", &h.total, nil, &s.Total},
		{"in any group", &h.any, nil, &s.AnyGroup},
		{"not in a group", &h.ungrouped, nil, &s.Ungrouped},
		{"group not known", &h.unattributed, nil, &s.Unattributed},
	}
	if k != nil {
		for i, list := range [][]float64{k.total, k.any, k.ungrouped, k.unattributed} {
			shares[i].past = list
		}
	}
	for _, share := range shares {
		row := &line{Name: share.name, Usage: share.u, Now: h.now(share.ring)}
		if k != nil {
			row.values, row.InSpan = k.cores(share.past)
		} else {
			row.values, row.InSpan = h.cores(share.ring), h.used(share.ring)
		}
		row.Chart = draw(row.values, sparkWidth, sparkHeight, q.Span, s.Time)
		l.Shares = append(l.Shares, row)
	}
	return l
}
