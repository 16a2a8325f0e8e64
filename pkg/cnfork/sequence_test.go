// SPDX-License-Identifier: Apache-2.0

package cnfork

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSequence(t *testing.T) {
	const top = 1<<32 - 1
	for _, tt := range []struct {
		name string
		in   []uint32
		want int64
	}{
		{"nothing", nil, 0},
		{"first of many", []uint32{100}, 0},
		{"consecutive", []uint32{5, 6, 7}, 0},
		{"one hole", []uint32{5, 7}, 1},
		{"two holes", []uint32{5, 7, 10}, 3},
		{"wrap", []uint32{top - 1, top, 0, 1}, 0},
		{"hole over the wrap", []uint32{top - 1, 2}, 3},
		{"late", []uint32{5, 7, 6, 8}, 0},
		{"twice", []uint32{5, 5, 6, 6, 5}, 0},
		{"late twice", []uint32{5, 7, 6, 6}, 0},
		{"before the first", []uint32{5, 4, 3}, 0},
		{"far ahead", []uint32{5, 5006}, 5000},
		{"late by 63", []uint32{5, 69, 6}, 62},
		{"late by 64, too late", []uint32{5, 70, 6}, 64},
		{"late over the wrap", []uint32{top, 1, 0}, 0},
	} {
		var s sequence
		for _, n := range tt.in {
			s.add(n)
		}
		if s.missing != tt.want {
			t.Errorf("%s: %d missing, want %d", tt.name, s.missing, tt.want)
		}
	}
}

// The model remembers every number and counts the absent ones.
func TestModelSequences(t *testing.T) {
	type message struct{ cpu, n, order uint32 }
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var sent []message
		var base [3]uint32
		for cpu := range base {
			base[cpu] = -uint32(r.IntN(300)) // many wrap
		}
		for i := range uint32(500) {
			m := message{cpu: r.Uint32N(3)}
			m.n = base[m.cpu]
			base[m.cpu]++
			m.order = i + r.Uint32N(uint32(1+seed%60)) // out of order by less than the window
			for range r.IntN(3) {                      // lost, once, twice
				sent = append(sent, m)
			}
		}
		slices.SortStableFunc(sent, func(a, b message) int { return int(a.order) - int(b.order) })
		var s sequences
		seen := make(map[[2]uint32]bool)
		var first, last [3]uint32
		var begun [3]bool
		for _, m := range sent {
			if !s.add(m.cpu, m.n) {
				t.Fatalf("cpu %d refused", m.cpu)
			}
			if !begun[m.cpu] {
				begun[m.cpu], first[m.cpu], last[m.cpu] = true, m.n, m.n
			}
			if int32(m.n-last[m.cpu]) > 0 {
				last[m.cpu] = m.n
			}
			seen[[2]uint32{m.cpu, m.n}] = true
		}
		var want int64
		for cpu := range uint32(3) {
			for n := first[cpu]; begun[cpu] && n != last[cpu]; n++ {
				if !seen[[2]uint32{cpu, n}] {
					want++
				}
			}
		}
		if s.missing != want {
			t.Fatalf("seed %d: %d missing, the model says %d", seed, s.missing, want)
		}
	}
	var s sequences
	if s.add(1<<31, 1) || len(s.cpu) > maxCPU {
		t.Error("an absurd cpu number is taken for one")
	}
}
