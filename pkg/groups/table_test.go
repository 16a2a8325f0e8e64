// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"elsa/pkg/clock"
)

func TestTable(t *testing.T) {
	if n := unsafe.Sizeof(entry{}); n > 32 {
		t.Errorf("an entry has %d bytes, want at most 32", n)
	}
	var tb table
	for _, pid := range []int32{-1, 0, 1, maxPID, 1<<31 - 1} {
		if tb.get(pid) != nil {
			t.Errorf("an entry of %d in an empty table", pid)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	pids := r.Perm(1 << 16)
	for _, pid := range pids {
		e := tb.put(int32(pid) * 64)
		if *e != (entry{}) {
			t.Fatalf("entry of %d is not clear: %+v", pid*64, *e)
		}
		e.state, e.start = live, clock.Start(pid)
	}
	seen := 0
	tb.all(func(pid int32, e *entry) {
		if e.start != clock.Start(pid/64) || tb.get(pid) != e {
			t.Fatalf("entry of %d: %+v", pid, *e)
		}
		seen++
		if pid%128 == 0 {
			tb.drop(pid)
		}
	})
	if seen != len(pids) {
		t.Errorf("all() gave %d entries, want %d", seen, len(pids))
	}
	for _, pid := range pids {
		if got, want := tb.get(int32(pid)*64) != nil, pid%2 == 1; got != want {
			t.Fatalf("entry of %d: %v, want %v", pid*64, got, want)
		} else if got {
			tb.drop(int32(pid) * 64)
		}
	}
	for i, p := range tb.pages {
		if p != nil || tb.used[i] != 0 {
			t.Fatalf("page %d is kept, %d entries used", i, tb.used[i])
		}
	}
	if n := len(tb.spare); n == 0 || n > maxSpare {
		t.Errorf("%d pages are spare, want 1 to %d", n, maxSpare)
	}
}
