// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	dto "github.com/prometheus/client_model/go"
)

// Budget is what a group, or the parent of some, used of its budget.
type Budget struct {
	Group string
	// Ratio is 1 when all of it is used.
	Ratio float64
}

// budgets returns the family of budgets, none if there are none.
func budgets(list []Budget) []*dto.MetricFamily {
	if len(list) == 0 {
		return nil
	}
	mf := gauge(nameBudget, "CPU time that processes used in this month of UTC over the budget of the group, or of the parent of some; 1 when all is used. As of some minutes ago.", 0)
	mf.Metric = make([]*dto.Metric, len(list))
	label := labelGroup
	for i := range list {
		mf.Metric[i] = &dto.Metric{
			Label: []*dto.LabelPair{{Name: &label, Value: &list[i].Group}},
			Gauge: &dto.Gauge{Value: &list[i].Ratio},
		}
	}
	return []*dto.MetricFamily{mf}
}
