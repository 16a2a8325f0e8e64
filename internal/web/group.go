// SPDX-License-Identifier: Apache-2.0

package web

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

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
	i, found := slices.BinarySearchFunc(s.Groups, name, func(g usage.GroupTotal, name string) int {
		return strings.Compare(g.Group.Name, name)
	})
	if !found {
		p.fail(w, http.StatusNotFound, "There is no group "+name+".")
		return
	}
	g := &s.Groups[i]
	d := detail{Group: &g.Group, Usage: &g.Usage}

	p.mu.Lock()
	ring := p.history.rings[g.Group.ID]
	d.Now = p.history.now(ring)
	d.Chart = draw(p.history.cores(ring), chartWidth, chartHeight, s.Time)
	p.mu.Unlock()

	if p.opts.Members != nil {
		d.HasMembers = true
		members, err := p.opts.Members(r.Context(), g.Group.ID)
		if err != nil {
			p.opts.Log.Warn("list members", "group", name, "err", err)
			d.MembersError = err.Error()
		}
		slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(b.CPU, a.CPU) })
		d.Members = members[:min(len(members), maxMembers)]
		d.More = len(members) - len(d.Members)
	}
	refresh := parseRefresh(r.URL.Query())
	p.render(w, http.StatusOK, "group", frame{
		Title: name, Time: s.Time, Content: d,
		Refresh: refresh, RefreshURL: groupURL(name, autoRefresh-refresh),
	})
}
