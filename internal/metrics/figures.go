// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	dto "github.com/prometheus/client_model/go"

	"elsa/pkg/usage"
)

// column is one series of a share of the bill: which family it belongs to,
// its second label if it has one, and where its value comes from.
type column struct {
	family       int
	label, value string
	get          func(u *usage.Usage) float64
}

// figures are the families that every share of the bill has, in order of
// their name; columns are their series, those of one family side by side and
// in order of the label value.
var (
	figures = [...]struct {
		name, help string
		kind       dto.MetricType
	}{
		{nameCPU, "CPU time used by processes %s, ended and live.", dto.MetricType_COUNTER},
		{nameMaxRSS, "Largest resident set of any one process %s.", dto.MetricType_GAUGE},
		{nameFaults, "Page faults of processes %s.", dto.MetricType_COUNTER},
		{nameProcesses, "Live processes %s.", dto.MetricType_GAUGE},
		{nameEnded, "Ended processes %s.", dto.MetricType_COUNTER},
		{nameStarted, "Processes started or added %s.", dto.MetricType_COUNTER},
		{nameRead, "Bytes read from storage by processes %s.", dto.MetricType_COUNTER},
		{nameWrite, "Bytes written to storage by processes %s.", dto.MetricType_COUNTER},
	}
	columns = [...]column{
		{0, labelMode, "system", func(u *usage.Usage) float64 { return u.System.Seconds() }},
		{0, labelMode, "user", func(u *usage.Usage) float64 { return u.User.Seconds() }},
		{1, "", "", func(u *usage.Usage) float64 { return float64(u.MaxRSS) }},
		{2, labelKind, "major", func(u *usage.Usage) float64 { return float64(u.MajorFaults) }},
		{2, labelKind, "minor", func(u *usage.Usage) float64 { return float64(u.MinorFaults) }},
		{3, "", "", func(u *usage.Usage) float64 { return float64(u.Live) }},
		{4, "", "", func(u *usage.Usage) float64 { return float64(u.Ended) }},
		{5, "", "", func(u *usage.Usage) float64 { return float64(u.Started) }},
		{6, "", "", func(u *usage.Usage) float64 { return float64(u.ReadBytes) }},
		{7, "", "", func(u *usage.Usage) float64 { return float64(u.WriteBytes) }},
	}
)
