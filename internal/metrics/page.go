// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"fmt"
	"strconv"
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
	// chunks hold the rows of the groups, after those that are no group's. Rows never
	// move: the families point into them.
	chunks []*[chunkRows]row
	// series lists, for each figure, the series of all rows in order.
	series [][]*dto.Metric
	groups []*dto.MetricFamily
	info   *dto.MetricFamily

	// The shares that are not one group's, and their families.
	any, ungrouped, unattributed row
	shares                       []*dto.MetricFamily
}

const chunkRows = 128

// row is one share of the bill as series, with everything they point to.
type row struct {
	group   dto.LabelPair
	name    string
	created timestamppb.Timestamp
	info    infoSeries
	metrics []dto.Metric // by column
	values  []float64
}

func newPage() *page {
	p := &page{series: make([][]*dto.Metric, len(figures)), groups: make([]*dto.MetricFamily, len(figures))}
	for f := range figures {
		p.groups[f] = family(prefixGroup, f, "in the group", " A process counts in each of its groups.")
	}
	p.info = gauge(nameGroupInfo, "The owner and the labels of the group, "+strconv.Itoa(maxInfoLabels)+" of them at most; always 1.", 1)
	for _, s := range []struct {
		row                 *row
		prefix, which, note string
	}{
		{&p.any, prefixAnyGroup, "in any group", " Each counts once, however many groups it is in."},
		{&p.ungrouped, prefixUngrouped, "in no group", ` The name will go: use group="` + UngroupedGroup + `" of elsa_group_ instead.`},
		{&p.unattributed, prefixUnattributed, "whose groups are not known", ` The name will go: use group="` + UnattributedGroup + `" of elsa_group_ instead.`},
	} {
		s.row.wire(false, newMemory(1))
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
		Name: proto.String(prefix + figures[f].Name),
		Help: proto.String(fmt.Sprintf(figures[f].Help, which) + note),
		Type: kind(figures[f]).Enum(),
	}
}

// memory is what rows are made of, side by side: a scrape walks through it.
type memory struct {
	metrics  []dto.Metric
	values   []float64
	counters []dto.Counter
	gauges   []dto.Gauge
}

func newMemory(rows int) *memory {
	n := rows * len(columns)
	return &memory{make([]dto.Metric, n), make([]float64, n), make([]dto.Counter, n-rows*gaugeColumns), make([]dto.Gauge, rows*gaugeColumns)}
}

// wire makes the series of a row point at the row's own labels and values, of m.
func (r *row) wire(grouped bool, m *memory) {
	r.metrics, m.metrics = m.metrics[:len(columns)], m.metrics[len(columns):]
	r.values, m.values = m.values[:len(columns)], m.values[len(columns):]
	var labels []*dto.LabelPair
	if grouped {
		r.group.Name, r.group.Value = proto.String(labelGroup), &r.name
		labels = []*dto.LabelPair{&r.group}
	}
	for i, c := range columns {
		s := &r.metrics[i]
		s.Label = labels
		if c.label != nil { // "group" sorts before it
			s.Label = append(labels[:len(labels):len(labels)], c.label)
		}
		if figures[c.family].Gauge {
			s.Gauge, m.gauges = &m.gauges[0], m.gauges[1:]
			s.Gauge.Value = &r.values[i]
		} else {
			s.Counter, m.counters = &m.counters[0], m.counters[1:]
			s.Counter.Value = &r.values[i]
		}
	}
}

// set gives the row its figures, its group's name and the time its counters
// began; a zero time says that it is not known. If it is fresh, counters are 0.
func (r *row) set(name string, created time.Time, u *usage.Usage, fresh bool) {
	r.name = name
	var ts *timestamppb.Timestamp
	if !created.IsZero() {
		r.created.Seconds, r.created.Nanos = created.Unix(), int32(created.Nanosecond())
		ts = &r.created
	}
	for i := range columns {
		r.values[i] = u.Value(columns[i].field)
		if c := r.metrics[i].Counter; c != nil {
			c.CreatedTimestamp = ts
			if fresh {
				r.values[i] = 0
			}
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
		m := newMemory(chunkRows)
		for j := range chunk {
			chunk[j].wire(true, m)
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
