// SPDX-License-Identifier: Apache-2.0

package taskrelease

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
)

// BenchmarkKernelReceive measures what reading a record costs, in CPU time of
// this whole process, when the records of a storm have gathered in the ring. One
// operation is one process.
func BenchmarkKernelReceive(b *testing.B) {
	kerneltest.Need(b, kerneltest.Root, kerneltest.BTF, kerneltest.BPF)
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME) // to see how often the program ran
	if err != nil {
		b.Fatal(err)
	}
	defer stats.Close()
	source, s, err := dial(64 << 20)
	if err != nil {
		b.Fatal(err)
	}
	defer source.Close()
	storm := kerneltest.Spawn(b, "storm", strconv.Itoa(b.N))
	storm.Pids()
	storm.Wait()
	for gathered := false; !gathered; {
		st, err := source.Programs()[0].Stats()
		if err != nil {
			b.Fatal(err)
		}
		gathered = st.RunCount >= uint64(b.N)
		if _, err := kerneltest.Fork(); err != nil { // time passes, RCU gets on
			b.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	cpu := func() time.Duration {
		var ru unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
			b.Fatal(err)
		}
		return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	}
	before := cpu()
	go func() { done <- s.Run(ctx) }()
	records, lost := 0, uint64(0)
	for records < b.N*95/100 && lost == 0 { // the program saw threads, too, which are no records
		batch := <-s.Batches()
		records += len(batch.Items)
		lost += batch.Lost
		s.Release(batch)
	}
	b.ReportMetric(float64(cpu()-before)/float64(max(records, 1)), "cpu-ns/record")
	b.ReportMetric(float64(lost), "lost")
	cancel()
	for range s.Batches() {
	}
	if err := <-done; err != nil {
		b.Error(err)
	}
}
