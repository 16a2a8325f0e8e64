// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/url"
	"slices"
	"strconv"
)

const (
	ascending  = "ascending"
	descending = "descending"
	// autoRefresh is after how many seconds a page that refreshes itself does.
	autoRefresh = 10
)

// query is the part of the first page's address after the question mark.
type query struct {
	Sort, Order string
	// Filter is text that a group's name must contain.
	Filter string
	// Page counts from 1.
	Page int
	// Refresh is 0 or autoRefresh.
	Refresh int
	// Span is what the charts are of.
	Span *span
	// Busy hides groups that used no CPU in the span.
	Busy bool
}

// parseQuery reads v; what makes no sense is as if it were not there.
func parseQuery(v url.Values) query {
	q := query{Sort: v.Get("sort"), Order: v.Get("order"), Filter: v.Get("q"), Refresh: parseRefresh(v), Span: parseSpan(v), Busy: v.Get("busy") == "1"}
	known := slices.ContainsFunc(columns, func(c column) bool { return c.key == q.Sort })
	if !known {
		q.Sort = "now"
	}
	if q.Order != ascending && q.Order != descending {
		q.Order = firstOrder(q.Sort)
	}
	page, err := strconv.Atoi(v.Get("page"))
	if err != nil || page < 1 || page > 1_000_000 {
		page = 1
	}
	q.Page = page
	return q
}

func parseRefresh(v url.Values) int {
	if v.Get("refresh") == strconv.Itoa(autoRefresh) {
		return autoRefresh
	}
	return 0
}

// firstOrder is how a column is sorted when it is first chosen: names from the
// beginning, figures from the largest.
func firstOrder(key string) string {
	if key == "name" {
		return ascending
	}
	return descending
}

func (q query) url() string {
	v := url.Values{"sort": {q.Sort}, "order": {q.Order}}
	if q.Filter != "" {
		v.Set("q", q.Filter)
	}
	if q.Page > 1 {
		v.Set("page", strconv.Itoa(q.Page))
	}
	if q.Refresh != 0 {
		v.Set("refresh", strconv.Itoa(q.Refresh))
	}
	if q.Span != spans[0] {
		v.Set("span", q.Span.Key)
	}
	if q.Busy {
		v.Set("busy", "1")
	}
	return "/?" + v.Encode()
}

// sortedBy is the address of the list sorted by a column; the column that it
// is sorted by already turns round.
func (q query) sortedBy(key string) string {
	order := firstOrder(key)
	if key == q.Sort && q.Order == order {
		order = map[string]string{ascending: descending, descending: ascending}[order]
	}
	q.Sort, q.Order, q.Page = key, order, 1
	return q.url()
}

func (q query) page(n int) string {
	q.Page = n
	return q.url()
}

func (q query) of(sp *span) string {
	q.Span, q.Page = sp, 1
	return q.url()
}

func (q query) toggleBusy() string {
	q.Busy, q.Page = !q.Busy, 1
	return q.url()
}

func (q query) toggleRefresh() string {
	q.Refresh = autoRefresh - q.Refresh
	return q.url()
}

// groupURL is the address of a group's page. The name is in the query: as part
// of the path, "a//b" and ".." would not arrive as they are.
func groupURL(name string, sp *span, refresh int) string {
	v := url.Values{"name": {name}}
	if sp != spans[0] {
		v.Set("span", sp.Key)
	}
	if refresh != 0 {
		v.Set("refresh", strconv.Itoa(refresh))
	}
	return "/group?" + v.Encode()
}

// choice is a link to the same page of another span.
type choice struct {
	Text, URL string
	Chosen    bool
}

func choices(chosen *span, to func(*span) string) (list []choice) {
	for _, sp := range spans {
		list = append(list, choice{"Last " + sp.Text, to(sp), sp == chosen})
	}
	return list
}
