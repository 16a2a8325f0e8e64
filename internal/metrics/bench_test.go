// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// many returns a snapshot of n groups with figures of the usual lengths.
func many(n int) *usage.Snapshot {
	s := &usage.Snapshot{Time: time.Unix(1.8e9, 0), Service: usage.Service{
		Created: time.Unix(1.7e9, 0), Started: time.Unix(1.75e9, 0),
		EventSource: "proc", Accounting: "own", Taskstats: "on", Exact: "on", ConservationRatio: 1,
	}}
	for i := range n {
		k := uint64(i + 1)
		u := usage.Usage{
			usage.Started: k * 1237, usage.Ended: k * 1231, usage.Live: 6,
			usage.User: k * 7_123_457_891, usage.System: k * 3_987_654_321,
			usage.MinorFaults: k * 123456, usage.MajorFaults: k * 7,
			usage.ReadBytes: k * 4096 * 789, usage.WriteBytes: k * 4096 * 1234, usage.MaxRSS: 1 << 28,
		}
		s.Groups = append(s.Groups, usage.GroupTotal{
			Group: groups.Group{ID: uint32(i + 1), Name: fmt.Sprintf("user/project-%06d", i), Created: time.Unix(1.79e9+int64(i), 0)},
			Usage: u,
		})
		s.AnyGroup.Add(&u)
		s.Total.Add(&u)
	}
	return s
}

type discard struct {
	header http.Header
	n      int64
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(b []byte) (int, error) { d.n += int64(len(b)); return len(b), nil }

// BenchmarkScrape is one scrape through the HTTP handler, snapshot ready.
func BenchmarkScrape(b *testing.B) {
	const (
		text        = "text/plain;version=0.0.4"
		openMetrics = "application/openmetrics-text;version=1.0.0"
		protobuf    = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
	)
	for _, n := range []int{10, 100, 1000, 10000} {
		for _, c := range []struct{ name, accept, encoding string }{
			{"text", text, ""},
			{"text+gzip", text, "gzip"},
			{"openmetrics", openMetrics, ""},
			{"openmetrics+gzip", openMetrics, "gzip"},
			{"protobuf", protobuf, ""},
		} {
			b.Run(fmt.Sprintf("%d/%s", n, c.name), func(b *testing.B) {
				snap := many(n)
				h := New(Options{Snapshot: func(context.Context) *usage.Snapshot { return snap }, MaxGroups: -1}).Handler()
				req := httptest.NewRequest("GET", "/metrics", nil)
				req.Header.Set("Accept", c.accept)
				req.Header.Set("Accept-Encoding", c.encoding)
				var body int64
				scrape := func() {
					w := &discard{header: http.Header{}}
					h.ServeHTTP(w, req)
					body = w.n
				}
				scrape()
				b.ReportAllocs()
				for b.Loop() {
					scrape()
				}
				b.ReportMetric(float64(body)/1e6, "MB-body")
			})
		}
	}
}
