// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"fmt"
	"runtime"
	"testing"

	"elsa/pkg/clock"
)

// BenchmarkApply is what one event costs beside so many live processes: an
// operation is a fork, an exit and a line of the ledger, three events of a process
// that takes the next free pid, as in the kernel. bytes/process is the heap the live ones take.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1000, 10000, 100000, 1000000} {
		b.Run(fmt.Sprintf("processes=%d", n), func(b *testing.B) {
			before := heap()
			t := New(NewSets())
			// One pid in eight is left free.
			var unused []int32
			t.Restore(Life{PID: 1, Start: clock.At(1, clock.Stamped)}, 1, true)
			pid := int32(2)
			for live := 1; live < n; pid++ {
				if pid%8 == 0 {
					continue
				}
				t.Fork(1, pid, clock.At(1, clock.Stamped))
				live++
			}
			bytes := float64(heap()-before) / float64(n)
			for p := int32(8); p < pid; p += 8 {
				unused = append(unused, p)
			}
			fits := func(*Life) bool { return true }
			missing := func(Life) bool { return true }
			b.ReportAllocs()
			i, at := 0, clock.Boot(2)
			for b.Loop() {
				p := unused[i%len(unused)]
				t.Fork(1, p, clock.At(at, clock.Stamped))
				t.Exit(p, p, at+1)
				if _, ok := t.Take(p, fits); !ok {
					b.Fatalf("process %d is not known", p)
				}
				at += 2
				if i++; i%1024 == 0 {
					t.Barrier(missing)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(3*b.N), "ns/event")
			b.ReportMetric(bytes, "bytes/process")
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
