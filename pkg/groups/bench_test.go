// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
)

// BenchmarkApply is what one event costs beside so many live processes: an
// operation is a fork, an exit and the taking of the ledger's line, of a process
// with a random free pid. bytes/process is the heap the live ones take.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1000, 10000, 100000, 1000000} {
		b.Run(fmt.Sprintf("processes=%d", n), func(b *testing.B) {
			before := heap()
			t := New(NewSets())
			// As the kernel gives them out: in turn, with gaps where processes
			// ended. One in eight is left free here.
			var unused []int32
			t.Restore(Life{PID: 1, Start: 1}, 1, true)
			pid := int32(2)
			for live := 1; live < n; pid++ {
				if pid%8 == 0 {
					continue
				}
				t.Fork(1, pid, 1)
				live++
			}
			bytes := float64(heap()-before) / float64(n)
			for p := int32(8); p < pid; p += 8 {
				unused = append(unused, p)
			}
			rand.New(rand.NewPCG(1, 2)).Shuffle(len(unused), func(i, j int) { unused[i], unused[j] = unused[j], unused[i] })
			fits := func(*Life) bool { return true }
			missing := func(Life) bool { return true }
			b.ReportAllocs()
			i, at := 0, int64(2)
			for b.Loop() {
				p := unused[i%len(unused)]
				t.Fork(1, p, at)
				t.Exit(p, p, at+1)
				if _, ok := t.Reap(p, fits); !ok {
					b.Fatalf("process %d is not known", p)
				}
				at += 2
				if i++; i%1024 == 0 {
					t.Barrier(missing)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(2*b.N), "ns/event")
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
