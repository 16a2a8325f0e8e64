// SPDX-License-Identifier: Apache-2.0

package web

import (
	"math"
	"testing"
	"time"
)

func TestDraw(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		name            string
		values          []float64
		line, area, max string
	}{
		{"nothing known", []float64{nan, nan}, "", "", ""},
		{"idle", []float64{0, 0}, "M50.0 99.0L100.0 99.0", "M50.0 99.0L100.0 99.0L100.0 100L50.0 100Z", "0.010"},
		{"the top of the scale", []float64{nan, 0, 1, 2}, "M50.0 99.0L75.0 50.0L100.0 1.0",
			"M50.0 99.0L75.0 50.0L100.0 1.0L100.0 100L50.0 100Z", "2.00"},
	} {
		got := draw(c.values, 100, 100, spans[0], epoch)
		if got.Line != c.line || got.Area != c.area || got.Max != c.max || got.Known != (c.line != "") {
			t.Errorf("%s: line %q, area %q, max %q, known %v", c.name, got.Line, got.Area, got.Max, got.Known)
		}
	}
	ticks := draw([]float64{1}, 400, 100, spans[0], epoch).Ticks
	if len(ticks) != 5 || ticks[0] != (tick{0, "09:00"}) || ticks[4] != (tick{400, "10:00"}) {
		t.Errorf("ticks %v", ticks)
	}
}

func TestCeiling(t *testing.T) {
	for _, c := range []struct{ v, want float64 }{
		{0, 0.01}, {0.01, 0.01}, {0.011, 0.02}, {0.3, 0.5}, {1, 1}, {1.01, 2}, {64, 100}, {2000, 2000},
	} {
		if got := ceiling(c.v); math.Abs(got-c.want) > c.want*1e-9 {
			t.Errorf("ceiling(%v) = %v, want %v", c.v, got, c.want)
		}
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{cores(0), "0"}, {cores(0.0004), "<0.001"}, {cores(0.0456), "0.046"}, {cores(1.234), "1.23"}, {cores(250.4), "250"},
		{seconds(0), "0.00 s"}, {seconds(1234 * time.Millisecond), "1.23 s"}, {seconds(3599 * time.Second), "59 min 59 s"},
		{seconds(26*time.Hour + 5*time.Minute), "26 h 05 min"},
		{size(0), "0 B"}, {size(1023), "1023 B"}, {size(1024), "1.0 KiB"}, {size(1<<20 - 1), "1.0 MiB"}, {size(5 << 30), "5.0 GiB"},
		{size(math.MaxUint64), "16.0 EiB"},
		{count(0), "0"}, {count(999), "999"}, {count(1000), "1\u202f000"}, {count(1234567), "1\u202f234\u202f567"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
