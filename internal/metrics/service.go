// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"runtime"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"elsa/internal/tally"
	"elsa/pkg/usage"
)

// serviceFamilies returns the metrics of the service itself.
func serviceFamilies(s *usage.Snapshot, o *Options) []*dto.MetricFamily {
	v := &s.Service
	suspended := 0.0
	if v.Suspended {
		suspended = 1
	}
	unsaved := 0.0
	if !v.Unsaved.IsZero() {
		unsaved = max(time.Since(v.Unsaved).Seconds(), 0)
	}
	families := []*dto.MetricFamily{
		info(nameBuildInfo, "The build that is running; always 1.",
			"goversion", runtime.Version(), "revision", o.Revision, "version", o.Version),
		info(nameSourceInfo, "Where the figures come from; always 1.",
			"accounting", word(v.Accounting), "events", word(v.EventSource),
			"exact", word(v.Exact), "taskstats", word(v.Taskstats)),

		gauge(nameGroups, "Groups that exist, open or closed.", float64(len(s.Groups))),
		gauge(nameTracked, "Live processes that are tracked.", float64(v.Processes)),
		gauge(nameMembers, "Live processes that are in a group.", float64(v.Members)),
		counter(nameDeaths, "Ended processes by how well their CPU time was known when the time for their records was over.", v.Created, "precision",
			sample{"exact", s.Settled.Exact}, sample{"rounded", s.Settled.Rounded}, sample{"sampled", s.Settled.Sampled}),
		counter(nameInferred, "Ended processes whose groups were found out after a loss of events.", v.Created, "",
			sample{"", s.Total[usage.Inferred]}),

		gauge(nameSuspended, "1 while the kernel writes no accounting records, as when the disk is full or another program took accounting.", suspended),
		gauge(nameExactMissing, "Fields that this kernel does not have, so that exact records have zero there.", float64(len(v.ExactMissing))),
		gauge(nameBacklog, "Bytes of the accounting file that are not on the bill yet.", float64(v.BacklogBytes)),
		gauge(nameStoreBytes, "Size of the database file.", float64(v.StoreBytes)),
		gauge(nameUnsaved, "For how long the disk has failed or not answered, so that figures are of then; 0 while it takes what it is given.", unsaved),
		gauge(nameConservation, "CPU time of groups, of processes in none and of the unattributed, "+
			"over all the kernel reported, and what is unaccounted; 1 when nothing is missing.", v.ConservationRatio),
		unaccounted(v),
	}
	return append(families, countFamilies(v)...)
}

// countFamilies returns the service's own counters, as their table has them.
func countFamilies(v *usage.Service) (families []*dto.MetricFamily) {
	samples := map[*tally.Family][]sample{}
	for c := range tally.Counters {
		i := c.Info()
		if c == tally.RulesLate && len(v.RulesMissed) > 0 {
			for _, m := range v.RulesMissed {
				samples[i.Family] = append(samples[i.Family], sample{m.Name, m.Count})
			}
			continue
		}
		samples[i.Family] = append(samples[i.Family], sample{i.Value, v.Counts[c]})
	}
	for f, list := range samples {
		slices.SortFunc(list, func(a, b sample) int { return strings.Compare(a.label, b.label) })
		families = append(families, counter(f.Name, f.Help, v.Started, f.Label, list...))
	}
	return families
}

// unaccounted is what the machine ran and nobody is known to have used.
func unaccounted(v *usage.Service) *dto.MetricFamily {
	mf := counter(nameUnaccounted, "CPU time that the machine ran, by /proc/stat, and of which neither a record nor a live process tells.", v.Started, "", sample{})
	mf.Metric[0].Counter.Value = proto.Float64(v.Unaccounted.Seconds())
	return mf
}

// word cuts the reason off "off: reason", and the path off "follow:PATH":
// label values are to be few.
func word(s string) string {
	w, _, _ := strings.Cut(s, ":")
	return w
}

// sample is one series of a counter: its label value and its count.
type sample struct {
	label string
	count uint64
}

// counter returns a counter with one series per sample, which are in order of
// their label value. label "" means that the only sample has none.
func counter(name, help string, created time.Time, label string, samples ...sample) *dto.MetricFamily {
	mf := &dto.MetricFamily{Name: &name, Help: &help, Type: dto.MetricType_COUNTER.Enum()}
	var ts *timestamppb.Timestamp
	if !created.IsZero() {
		ts = timestamppb.New(created)
	}
	for _, s := range samples {
		m := &dto.Metric{Counter: &dto.Counter{Value: proto.Float64(float64(s.count)), CreatedTimestamp: ts}}
		if label != "" {
			m.Label = []*dto.LabelPair{{Name: &label, Value: proto.String(s.label)}}
		}
		mf.Metric = append(mf.Metric, m)
	}
	return mf
}

func gauge(name, help string, value float64) *dto.MetricFamily {
	return &dto.MetricFamily{
		Name: &name, Help: &help, Type: dto.MetricType_GAUGE.Enum(),
		Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: &value}}},
	}
}

// info returns a gauge of 1 with labels, given as pairs in order of the name.
func info(name, help string, pairs ...string) *dto.MetricFamily {
	mf := gauge(name, help, 1)
	for i := 0; i < len(pairs); i += 2 {
		mf.Metric[0].Label = append(mf.Metric[0].Label, &dto.LabelPair{Name: &pairs[i], Value: &pairs[i+1]})
	}
	return mf
}
