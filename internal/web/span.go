// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"math"
	"net/url"
	"slices"
	"sync"
	"time"

	"elsa/internal/history"
	"elsa/pkg/usage"
)

// span is a time up to now that a page can be about.
type span struct {
	Key, Text string
	// bins are the steps of its charts, each of so many hours; 0 hours: half minutes,
	// which are kept in memory.
	bins  int
	Hours uint32
	// layout is how times under its charts are written.
	layout string
}

var spans = []*span{
	{"hour", "hour", int(binCount), 0, "15:04"},
	{"day", "day", 24, 1, "15:04"},
	{"week", "week", 7 * 24, 1, "Mon 15:04"},
	{"month", "30 days", 30, 24, "2 Jan"},
}

// parseSpan returns the span that is asked for, or the hour.
func parseSpan(v url.Values) *span {
	i := slices.IndexFunc(spans, func(s *span) bool { return s.Key == v.Get("span") })
	return spans[max(i, 0)]
}

// length is how long the span is.
func (s *span) length() time.Duration {
	if s.Hours == 0 {
		return time.Hour
	}
	return time.Duration(s.bins) * time.Duration(s.Hours) * time.Hour
}

// first is the first hour of the span that ends with the one of now, by whole bins.
func (s *span) first(now time.Time) uint32 {
	last := usage.HourOf(now.Unix()) / s.Hours * s.Hours
	return last - uint32(s.bins-1)*s.Hours
}

// unknown is the value of a chart where nothing is known.
var unknown = math.NaN()

// Cells calls f for every cell of the history from an hour on, as [elsa/internal/store]
// does. It may be called from several goroutines at once, and gives up when ctx ends.
type Cells func(ctx context.Context, first uint32, f func(*history.Key, *usage.Usage) error) error

// past is what all groups used in a span, by the history.
type past struct {
	span  *span
	at    time.Time
	begin time.Time // the service was installed then
	// groups are CPU seconds by bin, by the id of the group.
	groups                              map[uint32][]float64
	any, ungrouped, unattributed, total []float64
}

// pasts keeps the last look at each span for a while: a page that many people open
// does not read the disk each time.
type pasts struct {
	mu   sync.Mutex
	kept map[*span]*past
}

// keepPast is how old what is shown of the history may be.
const keepPast = 20 * time.Second

// past returns the past of a span, nil for the hour, which is in memory.
func (p *Page) past(ctx context.Context, sp *span, s *usage.Snapshot) (*past, error) {
	if sp.Hours == 0 || p.opts.Cells == nil {
		return nil, nil
	}
	p.pasts.mu.Lock()
	defer p.pasts.mu.Unlock()
	if k := p.pasts.kept[sp]; k != nil && s.Time.Sub(k.at) < keepPast && !s.Time.Before(k.at) {
		return k, nil
	}
	k := &past{span: sp, at: s.Time, begin: s.Service.Created, groups: map[uint32][]float64{}}
	first := sp.first(s.Time)
	of := map[uint32]uint32{} // merged groups count as the one that took them up
	for i := range s.Groups {
		g := &s.Groups[i].Group
		of[g.ID] = g.ID
		for _, id := range g.Absorbed {
			of[id] = g.ID
		}
	}
	add := func(list *[]float64, bin int, used float64) {
		if *list == nil {
			*list = make([]float64, sp.bins)
		}
		(*list)[bin] += used
	}
	var seen []uint32
	err := p.opts.Cells(ctx, first, func(key *history.Key, u *usage.Usage) error {
		bin := int((key.Hour - first) / sp.Hours)
		if key.Hour < first || bin >= sp.bins {
			return nil
		}
		used := u.CPU().Seconds()
		if key.Filled {
			if g, there := of[key.Groups[0]]; there && key.In(func(id uint32) bool { return of[id] == g }) {
				list := k.groups[g]
				add(&list, bin, used)
				k.groups[g] = list
			}
			return nil
		}
		add(&k.total, bin, used)
		seen = seen[:0]
		for _, id := range key.Groups {
			if g, there := of[id]; there && !slices.Contains(seen, g) {
				seen = append(seen, g)
				list := k.groups[g]
				add(&list, bin, used)
				k.groups[g] = list
			}
		}
		switch {
		case key.Unattributed:
			add(&k.unattributed, bin, used)
		case len(key.Groups) == 0:
			add(&k.ungrouped, bin, used)
		default:
			add(&k.any, bin, used)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	if p.pasts.kept == nil {
		p.pasts.kept = map[*span]*past{}
	}
	p.pasts.kept[sp] = k
	return k, nil
}

// cores turns CPU seconds by bin, nil for none, into cores; and sums them up.
func (k *past) cores(list []float64) (values []float64, used time.Duration) {
	values = make([]float64, k.span.bins)
	first := int64(k.span.first(k.at)) * 3600
	width := float64(k.span.Hours) * 3600
	sum := 0.0
	for i := range values {
		begin := float64(first) + float64(i)*width
		switch length := min(width, float64(k.at.UnixNano())/1e9-begin); {
		case begin+width <= float64(k.begin.Unix()):
			values[i] = unknown
		case list != nil && length > 0:
			values[i] = list[i] / max(length, 1)
			sum += list[i]
		}
	}
	return values, time.Duration(sum * 1e9)
}
