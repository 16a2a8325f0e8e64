// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"maps"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"

	"elsa/pkg/groups"
)

// Bounds on the labels of a group that are shown, so that nobody's labels fill a scrape:
// the first in order of their keys, each value up to so many bytes.
const (
	maxInfoLabels = 16
	maxInfoValue  = 128
)

// info is the series of elsa_group_info of one row: made once, and again when the
// group's name, owner or labels are others.
type infoSeries struct {
	metric dto.Metric
	name   string
	owner  string
	labels map[string]string
}

// set gives the series the labels of a group.
func (i *infoSeries) set(g *groups.Group, owner string) {
	if i.metric.Gauge != nil && i.name == g.Name && i.owner == owner && maps.Equal(i.labels, g.Labels) {
		return
	}
	i.name, i.owner, i.labels = g.Name, owner, maps.Clone(g.Labels)
	pairs := map[string]string{labelGroup: g.Name, labelOwner: owner}
	for n, key := range slices.Sorted(maps.Keys(g.Labels)) {
		if n == maxInfoLabels {
			break
		}
		name := labelName(key)
		for pairs[name] != "" {
			name += "_"
		}
		pairs[name] = labelValue(g.Labels[key])
	}
	one := 1.0
	i.metric = dto.Metric{Gauge: &dto.Gauge{Value: &one}}
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		value := pairs[name]
		i.metric.Label = append(i.metric.Label, &dto.LabelPair{Name: &name, Value: &value})
	}
}

// labelName makes a label's name of the key of a group's label: what Prometheus does
// not allow becomes an underscore, and what has a meaning there gets a prefix.
func labelName(key string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, key)
	switch {
	case name == "", name[0] >= '0' && name[0] <= '9', strings.HasPrefix(name, "__"),
		slices.Contains([]string{labelGroup, labelOwner, "instance", "job", "le", "quantile"}, name):
		return "label_" + name
	}
	return name
}

// labelValue is text as a label's value.
func labelValue(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxInfoValue)], "")
}
