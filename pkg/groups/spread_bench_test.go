// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"elsa/pkg/clock"
)

// spread gives n pids, one after the other or all over the possible ones.
func spread(n int, sparse bool) []int32 {
	pids := make([]int32, n)
	step := 1
	if sparse {
		step = maxPID / (n + 2)
	}
	for i := range pids {
		pids[i] = int32((i + 2) * step)
	}
	if sparse {
		rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { pids[i], pids[j] = pids[j], pids[i] })
	}
	return pids
}

// populated returns a tracker with n live processes, a tenth of them in a group.
func populated(n int, sparse bool) (*Tracker, []int32) {
	t := New(NewSets())
	t.Resync([]Scanned{init1}, 0, 0, nil)
	pids := spread(n, sparse)
	for i, pid := range pids {
		t.Fork(1, pid, stamped(clock.Boot(i+1)))
		if i%10 == 0 {
			t.Add(pid, uint32(1+i/10%100), false)
		}
	}
	t.TakeChanged(func(Life) {}, func(Key) {})
	t.TakeStarts(func(SetID, int64) {})
	return t, pids
}

var sizes = []int{1e3, 1e4, 1e5, 1e6}

func eachSize(b *testing.B, f func(b *testing.B, n int, sparse bool)) {
	for _, n := range sizes {
		for _, sparse := range []bool{false, true} {
			name := "dense"
			if sparse {
				name = "sparse"
			}
			b.Run(fmt.Sprintf("%s/live=%d", name, n), func(b *testing.B) { f(b, n, sparse) })
		}
	}
}

// BenchmarkEvent applies the events of short processes among many live ones:
// fork, exec, exit, with ids given out in turn as the kernel does; then the
// record is read. An operation is one event or record.
func BenchmarkEvent(b *testing.B) {
	eachSize(b, func(b *testing.B, n int, sparse bool) {
		t, pids := populated(n, sparse)
		var free []int32
		for pid := int32(2); len(free) < 1<<15; pid++ {
			if t.table.get(pid) == nil {
				free = append(free, pid)
			}
		}
		fits := func(*Life) bool { return true }
		missing := func(Life) bool { return true }
		at := clock.Boot(n + 1)
		b.ReportAllocs()
		b.ResetTimer()
		for i := 0; i < b.N; i += 4 {
			at++
			pid, parent := free[i/4%len(free)], pids[i%len(pids)]
			t.Fork(parent, pid, stamped(at))
			t.Exec(pid)
			t.Exit(pid, pid, at)
			t.Take(pid, fits)
			if i/4%4096 == 0 { // once in a while, as the service steps
				t.Barrier(missing)
				t.TakeStarts(func(SetID, int64) {})
				t.TakeChanged(func(Life) {}, func(Key) {})
			}
		}
	})
}

// BenchmarkMemory reports the bytes that a live process takes.
func BenchmarkMemory(b *testing.B) {
	eachSize(b, func(b *testing.B, n int, sparse bool) {
		var before, after runtime.MemStats
		var keep *Tracker
		for range b.N {
			keep = nil
			runtime.GC()
			runtime.ReadMemStats(&before)
			keep, _ = populated(n, sparse)
			keep.changed, keep.begun = nil, nil
			runtime.GC()
			runtime.ReadMemStats(&after)
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "bytes/process")
		b.ReportMetric(0, "ns/op")
		runtime.KeepAlive(keep)
	})
}

// BenchmarkResync looks at /proc with all processes known.
func BenchmarkResync(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("live=%d", n), func(b *testing.B) {
			t, pids := populated(n, false)
			procs := []Scanned{init1}
			for _, pid := range pids {
				procs = append(procs, Scanned{PID: pid, PPID: 1, Start: inProc(0), Threads: 1})
			}
			b.ResetTimer()
			for range b.N {
				t.Resync(procs, 1e9, 2e9, allDead)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/process")
		})
	}
}
