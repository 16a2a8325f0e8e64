// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"fmt"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"elsa/pkg/usage"
)

// A page holds the families of one scrape. Const metrics cost some ten
// allocations a series, and a group has ten series; a page is made once, wired
// once, and then only its numbers change. It is used by one scrape at a time.
type page struct {
	// chunks hold the rows of the groups. Row 0 is the overflow. Rows never
	// move: the families point into them.
	chunks []*[chunkRows]row
	// series lists, for each figure, the series of all rows in order.
	series [len(figures)][]*dto.Metric
	groups [len(figures)]*dto.MetricFamily

	// The shares that are not one group's, and their families.
	any, ungrouped, unattributed row
	shares                       []*dto.MetricFamily
}

const chunkRows = 128

// counters is how many of the columns are counters; the others are gauges.
var counters = func() (n int) {
	for _, c := range columns {
		if figures[c.family].kind == dto.MetricType_COUNTER {
			n++
		}
	}
	return n
}()

// row is one share of the bill as series, with everything they point to.
type row struct {
	group   dto.LabelPair
	name    string
	created timestamppb.Timestamp
	metrics [len(columns)]dto.Metric
	values  [len(columns)]float64
}

func newPage() *page {
	p := &page{}
	for f := range figures {
		p.groups[f] = family(prefixGroup, f, "in the group", " A process counts in each of its groups.")
	}
	for _, s := range []struct {
		row                 *row
		prefix, which, note string
	}{
		{&p.any, prefixAnyGroup, "in any group", " Each counts once, however many groups it is in."},
		{&p.ungrouped, prefixUngrouped, "in no group", ""},
		{&p.unattributed, prefixUnattributed, "whose groups are not known", ""},
	} {
		s.row.wire(false)
		for f := range figures {
			mf := family(s.prefix, f, s.which, s.note)
			mf.Metric = s.row.appendTo(nil, f)
			p.shares = append(p.shares, mf)
		}
	}
	return p
}

func family(prefix string, f int, which, note string) *dto.MetricFamily {
	return &dto.MetricFamily{
		Name: proto.String(prefix + figures[f].name),
		Help: proto.String(fmt.Sprintf(figures[f].help, which) + note),
		Type: figures[f].kind.Enum(),
	}
}

// wire makes the series of a row point at the row's own labels and values.
func (r *row) wire(grouped bool) {
	counter := make([]dto.Counter, counters)
	gauge := make([]dto.Gauge, len(columns)-counters)
	var labels []*dto.LabelPair
	if grouped {
		r.group.Name, r.group.Value = proto.String(labelGroup), &r.name
		labels = []*dto.LabelPair{&r.group}
	}
	for i := range columns {
		m := &r.metrics[i]
		m.Label = labels
		if second := secondLabel[i]; second != nil {
			m.Label = append(labels[:len(labels):len(labels)], second)
		}
		if figures[columns[i].family].kind == dto.MetricType_COUNTER {
			m.Counter, counter = &counter[0], counter[1:]
			m.Counter.Value = &r.values[i]
		} else {
			m.Gauge, gauge = &gauge[0], gauge[1:]
			m.Gauge.Value = &r.values[i]
		}
	}
}

// secondLabel holds the label of each column that has one of its own. Label
// "group" sorts before them.
var secondLabel = func() (pairs [len(columns)]*dto.LabelPair) {
	for i, c := range columns {
		if c.label != "" {
			pairs[i] = &dto.LabelPair{Name: proto.String(c.label), Value: proto.String(c.value)}
		}
	}
	return pairs
}()

// set gives the row its figures, its group's name and the time its counters
// began; a zero time says that it is not known.
func (r *row) set(name string, created time.Time, u *usage.Usage) {
	r.name = name
	var ts *timestamppb.Timestamp
	if !created.IsZero() {
		r.created.Seconds, r.created.Nanos = created.Unix(), int32(created.Nanosecond())
		ts = &r.created
	}
	for i := range columns {
		r.values[i] = columns[i].get(u)
		if c := r.metrics[i].Counter; c != nil {
			c.CreatedTimestamp = ts
		}
	}
}

// appendTo adds the row's series of figure f to list.
func (r *row) appendTo(list []*dto.Metric, f int) []*dto.Metric {
	for i := range columns {
		if columns[i].family == f {
			list = append(list, &r.metrics[i])
		}
	}
	return list
}

// row returns group row i, where i is at most one more than any before.
func (p *page) row(i int) *row {
	if i/chunkRows == len(p.chunks) {
		chunk := new([chunkRows]row)
		p.chunks = append(p.chunks, chunk)
		for j := range chunk {
			chunk[j].wire(true)
			for f := range figures {
				p.series[f] = chunk[j].appendTo(p.series[f], f)
			}
		}
	}
	return &p.chunks[i/chunkRows][i%chunkRows]
}

// useRows makes the group families hold rows from (inclusive) to to. A family
// without a series is left out of a scrape.
func (p *page) useRows(from, to int) {
	for f, mf := range p.groups {
		perRow := 0
		for _, c := range columns {
			if c.family == f {
				perRow++
			}
		}
		mf.Metric = p.series[f][from*perRow : to*perRow]
	}
}

// spacious reports whether the page holds much more than n rows need, and is
// better given up.
func (p *page) spacious(n int) bool { return len(p.chunks) > 4*(n/chunkRows+1) }
