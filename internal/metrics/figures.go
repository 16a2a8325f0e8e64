// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"cmp"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"elsa/pkg/usage"
)

// column is one series of a share of the bill: the field it shows, which of the
// families it belongs to, and its second label if it has one.
type column struct {
	field  usage.Field
	family int
	label  *dto.LabelPair
}

// figures are the families that every share of the bill has, in order of their
// name; columns are their series, those of one family side by side and in order
// of the label value. Both are as the table of fields has them.
var figures, columns = layout()

func layout() (families []*usage.Family, columns []column) {
	for f := range usage.Fields {
		if s := &f.Info().Series; s.Family != nil && !slices.Contains(families, s.Family) {
			families = append(families, s.Family)
		}
	}
	slices.SortFunc(families, func(a, b *usage.Family) int { return strings.Compare(a.Name, b.Name) })
	for f := range usage.Fields {
		s := &f.Info().Series
		if s.Family == nil {
			continue
		}
		c := column{field: f, family: slices.Index(families, s.Family)}
		if s.Family.Label != "" {
			c.label = &dto.LabelPair{Name: proto.String(s.Family.Label), Value: proto.String(s.Value)}
		}
		columns = append(columns, c)
	}
	slices.SortFunc(columns, func(a, b column) int {
		return cmp.Or(a.family-b.family, strings.Compare(a.label.GetValue(), b.label.GetValue()))
	})
	return families, columns
}

// gaugeColumns is how many of the columns are gauges; the others are counters.
var gaugeColumns = func() (n int) {
	for _, c := range columns {
		if figures[c.family].Gauge {
			n++
		}
	}
	return n
}()

func kind(f *usage.Family) dto.MetricType {
	if f.Gauge {
		return dto.MetricType_GAUGE
	}
	return dto.MetricType_COUNTER
}
