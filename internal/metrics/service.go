// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"elsa/pkg/usage"
)

// serviceFamilies returns the metrics of the service itself.
func serviceFamilies(s *usage.Snapshot, o *Options) []*dto.MetricFamily {
	v := &s.Service
	suspended := 0.0
	if v.Suspended {
		suspended = 1
	}
	joined := make([]sample, 0, len(v.Joined))
	for _, how := range slices.Sorted(maps.Keys(v.Joined)) {
		joined = append(joined, sample{how, v.Joined[how]})
	}
	refused := make([]sample, 0, len(v.Refused))
	for _, what := range slices.Sorted(maps.Keys(v.Refused)) {
		refused = append(refused, sample{what, v.Refused[what]})
	}
	families := []*dto.MetricFamily{
		info(nameBuildInfo, "The build that is running; always 1.",
			"goversion", runtime.Version(), "revision", o.Revision, "version", o.Version),
		info(nameSourceInfo, "Where the figures come from; always 1.",
			"accounting", word(v.Accounting), "events", v.EventSource,
			"exact", word(v.Exact), "taskstats", word(v.Taskstats)),

		gauge(nameGroups, "Groups that exist, open or closed.", float64(len(s.Groups))),
		gauge(nameTracked, "Live processes that are tracked.", float64(v.Processes)),
		gauge(nameMembers, "Live processes that are in a group.", float64(v.Members)),
		counter(nameDeaths, "Ended processes by how well their CPU time is known.", v.Created, "precision",
			sample{"exact", s.Total.Exact}, sample{"rounded", s.Total.Rounded}, sample{"sampled", s.Total.Sampled}),
		counter(nameInferred, "Ended processes whose groups were found out after a loss of events.", v.Created, "",
			sample{"", s.Total.Inferred}),

		counter(nameEvents, "Events received from the kernel.", v.Started, labelKind,
			sample{"exec", v.Execs}, sample{"exit", v.Exits}, sample{"fork", v.Forks}, sample{"other", v.OtherEvents}),
		counter(nameEventsLost, "Events the kernel could not deliver.", v.Started, "", sample{"", v.EventsLost}),
		counter(nameEventsRejected, "Messages rejected as forged or malformed.", v.Started, "", sample{"", v.EventsRejected}),
		counter(nameResyncs, "Scans of /proc to mend membership after loss.", v.Started, "", sample{"", v.Resyncs}),
		counter(nameRecords, "Accounting records received from the kernel.", v.Started, "source",
			sample{"bsd", v.RecordsBSD}, sample{"exact", v.RecordsExact}, sample{"taskstats", v.RecordsTaskstats}),
		counter(nameRecordsLost, "Accounting records the kernel could not deliver.", v.Started, "source",
			sample{"bsd", v.LedgerLost}, sample{"exact", v.ExactLost}, sample{"taskstats", v.TaskstatsLost}),
		counter(nameRecordsJoined, "Deaths put on the bill, by how their records were joined.", v.Started, "how", joined...),
		counter(nameMissingLedger, "Deaths that never got a line in the accounting file.", v.Started, "",
			sample{"", v.MissingLedger}),
		counter(nameLedgerSkipped, "Bytes of the accounting file that were no record.", v.Started, "",
			sample{"", v.LedgerSkipped}),
		counter(nameLedgerGaps, "Times that an unknown number of lines of the accounting file may be missing.", v.Started, "",
			sample{"", v.LedgerGaps}),
		counter(nameRefused, "What was refused or cut because the service is bounded, by what it was.", v.Started, "what", refused...),

		gauge(nameSuspended, "1 while the kernel writes no accounting records, as when the disk is full.", suspended),
		gauge(nameBacklog, "Bytes of the accounting file that are not on the bill yet.", float64(v.BacklogBytes)),
		gauge(nameStoreBytes, "Size of the database file.", float64(v.StoreBytes)),
		gauge(nameConservation, "CPU time of groups, of processes in none and of the unattributed, "+
			"over all the kernel reported; 1 when nothing is missing.", v.ConservationRatio),
	}
	return slices.DeleteFunc(families, func(mf *dto.MetricFamily) bool { return len(mf.Metric) == 0 })
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
