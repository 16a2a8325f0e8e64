// SPDX-License-Identifier: Apache-2.0

package fill

import (
	"math"
	"slices"
	"testing"
)

// What is encoded is decoded, and rows meet exactly if they share a number.
func FuzzRows(f *testing.F) {
	f.Add([]byte{0, 0}, []byte{3, 1, 5, 2})
	f.Add(Encode([]Run{{First: 1, Last: math.MaxUint64 - 1}}), []byte{})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		x, errX := NewRows("s", a)
		y, errY := NewRows("s", b)
		if errX != nil || errY != nil {
			return
		}
		runs, _ := Decode(a)
		others, _ := Decode(b)
		again, err := Decode(Encode(runs))
		if err != nil || !slices.Equal(again, runs) {
			t.Fatalf("%v became %v: %v", runs, again, err)
		}
		meet := slices.ContainsFunc(runs, func(r Run) bool {
			return slices.ContainsFunc(others, func(o Run) bool { return r.First <= o.Last && o.First <= r.Last })
		})
		if x.Meets(&y) != meet || y.Meets(&x) != meet {
			t.Errorf("%v and %v meet: %v", runs, others, meet)
		}
		z := y
		z.Source = "another"
		if x.Meets(&z) {
			t.Error("rows of two sources meet")
		}
	})
}

// Bytes that are no runs are refused.
func TestRowsRefused(t *testing.T) {
	for _, b := range [][]byte{nil, {0x80}, {0}, {0, 0x80}, slices.Concat(Encode([]Run{{First: 1, Last: math.MaxUint64 - 1}}), []byte{0, 1}), slices.Concat(Encode([]Run{{First: 1, Last: math.MaxUint64}}), []byte{0, 0})} {
		if r, err := NewRows("s", b); err == nil {
			t.Errorf("%x is %+v", b, r)
		}
	}
}
