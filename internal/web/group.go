// SPDX-License-Identifier: Apache-2.0

package web

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"time"

	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

const (
	chartWidth  = 720
	chartHeight = 180
	maxMembers  = 500
)

// detail is the content of a group's page.
type detail struct {
	Group *groups.Group
	Usage *usage.Usage
	Now   float64
	Chart *chart
	Owner string
	// Spans lead to the other spans; InSpan is what was used in the one shown.
	Spans  []choice
	Span   *span
	InSpan time.Duration
	// Parts is nil if the service does not tell users and commands; CSV are the
	// addresses of the tables.
	Parts *breakdown
	CSV   map[string]string
	// Life is the address of the processes by the hour; empty: there is no archive.
	Life string
	// HasMembers is whether the service tells; MembersError why it did not.
	HasMembers   bool
	Members      []Member
	More         int
	MembersError string
}

func (p *Page) serveGroup(w http.ResponseWriter, r *http.Request) {
	s := p.snapshot(w, r)
	if s == nil {
		return
	}
	name := r.URL.Query().Get("name")
	g := find(s, name)
	if g == nil {
		p.fail(w, http.StatusNotFound, "There is no group "+name+".")
		return
	}
	sp, refresh := parseSpan(r.URL.Query()), parseRefresh(r.URL.Query())
	k, err := p.past(r.Context(), sp, s)
	if err != nil {
		p.unread(w, err)
		return
	}
	if k == nil {
		sp = spans[0]
	}
	d := detail{Group: &g.Group, Usage: &g.Usage, Owner: p.opts.User(g.Group.Owner), Span: sp}

	p.mu.Lock()
	ring := p.history.rings[g.Group.ID]
	d.Now = p.history.now(ring)
	values := p.history.cores(ring)
	d.InSpan = p.history.used(ring)
	p.mu.Unlock()
	if k != nil {
		values, d.InSpan = k.cores(k.groups[g.Group.ID])
	}
	d.Chart = draw(values, chartWidth, chartHeight, sp, s.Time)

	if p.opts.Cells != nil {
		d.Spans = choices(sp, func(to *span) string { return groupURL(name, to, refresh) })
		d.CSV = map[string]string{"hour": csvURL(name, "hour", sp)}
		if p.opts.Members != nil {
			d.CSV["user"], d.CSV["command"] = csvURL(name, "user", sp), csvURL(name, "command", sp)
			if d.Parts, err = p.breakDown(r.Context(), &g.Group, sp, s.Time); err != nil {
				p.unread(w, err)
				return
			}
			d.Parts.shorten()
		}
	}
	if p.opts.Members != nil {
		if d.HasMembers = true; p.opts.Life != nil {
			d.Life = "/life?" + url.Values{"name": {name}}.Encode()
		}
		members, err := p.opts.Members(r.Context(), g.Group.ID)
		if err != nil {
			p.opts.Log.Warn("list members", "group", name, "err", err)
			d.MembersError = err.Error()
		}
		slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(b.CPU, a.CPU) })
		d.Members = members[:min(len(members), maxMembers)]
		d.More = len(members) - len(d.Members)
	}
	p.render(w, http.StatusOK, "group", frame{
		Title: name, Time: s.Time, Content: d,
		Refresh: refresh, RefreshURL: groupURL(name, sp, autoRefresh-refresh),
	})
}
