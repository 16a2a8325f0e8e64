// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"os"
	"testing"
)

func BenchmarkSnapshot(b *testing.B) {
	b.ReportAllocs()
	var list []Process
	for b.Loop() {
		var err error
		if list, err = Default.Snapshot(list); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(list)), "ns/process")
}

func BenchmarkSample(b *testing.B) {
	for _, c := range []struct {
		name   string
		detail bool
	}{{"clocks", false}, {"detail", true}} {
		b.Run(c.name, func(b *testing.B) {
			pid := int32(os.Getppid())
			p, err := Default.Process(pid)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(p.Threads), "threads")
			sampler := Default.NewSampler()
			var s Sample
			b.ReportAllocs()
			for b.Loop() {
				if err := sampler.Sample(pid, p.Start, &s, c.detail); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
