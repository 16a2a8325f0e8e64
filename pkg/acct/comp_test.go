// SPDX-License-Identifier: Apache-2.0

package acct

import (
	"math"
	"testing"
	"time"
)

// TestCompEveryCode checks all 65536 codes against acct(5)'s definition in
// floating point, and that encoding finds the canonical code of the same value.
func TestCompEveryCode(t *testing.T) {
	last := -1.0 // of the canonical codes, which are in the order of their values
	for c := range 1 << 16 {
		fraction, exponent := c%8192, c/8192
		want := float64(fraction) * math.Pow(8, float64(exponent))
		got := compValue(uint16(c))
		if float64(got) != want {
			t.Fatalf("code %#x: %d, want %g", c, got, want)
		}
		code := compCode(got)
		if compValue(code) != got {
			t.Fatalf("code %#x: value %d encoded as %#x, which is %d", c, got, code, compValue(code))
		}
		if canonical := exponent == 0 || fraction >= 1024; canonical {
			if int(code) != c {
				t.Fatalf("value %d encoded as %#x, want %#x", got, code, c)
			}
			if want <= last {
				t.Fatalf("code %#x: %g does not exceed %g", c, want, last)
			}
			last = want
		}
	}
}

func TestCompRounding(t *testing.T) {
	for _, tt := range []struct {
		value uint64
		want  uint64
	}{
		{0, 0},
		{8191, 8191},
		{8192, 8192},
		{8195, 8192}, // in steps of 8, the half goes up
		{8196, 8200},
		{65531, 65528},
		{65532, 65536}, // rounding overflows the fraction
		{30000, 30000}, // 300 s
		{30003, 30000},
		{17_177_772_032, 17_177_772_032}, // the largest
		{17_179_869_184, 17_177_772_032},
		{math.MaxUint64, 17_177_772_032},
	} {
		if got := compValue(compCode(tt.value)); got != tt.want {
			t.Errorf("%d is stored as %d, want %d", tt.value, got, tt.want)
		}
	}
}

func TestComp2(t *testing.T) {
	for _, tt := range []struct {
		code  uint32
		value uint64
	}{
		{0, 0},
		{1, 1},
		{0x7ffff, 524287},
		{0x80000, 524288}, // exponent 1, the implied bit alone
		{0xfffff, 1048575},
		{0x100000, 1048576}, // exponent 2: in steps of 2
		{0x100001, 1048578},
		{0x97ffff, 1048575 << 17},
		{0xffffff, 1048575 << 30}, // the largest, 50 bits
	} {
		if got := comp2Value(tt.code); got != tt.value {
			t.Errorf("code %#x: %d, want %d", tt.code, got, tt.value)
		}
		if got := comp2Code(tt.value); got != tt.code {
			t.Errorf("value %d: code %#x, want %#x", tt.value, got, tt.code)
		}
	}
	if got := comp2Code(math.MaxUint64); got != 0xffffff {
		t.Errorf("largest value: code %#x, want the largest", got)
	}
	for c := range uint32(1 << 24) {
		v := comp2Value(c)
		if comp2Code(v) != c {
			t.Fatalf("code %#x: value %d encoded as %#x", c, v, comp2Code(v))
		}
	}
}

func TestFloatCode(t *testing.T) {
	for v, want := range map[uint64]uint32{
		0:               0,
		1:               0x3f800000,
		100:             0x42c80000,
		1<<24 - 1:       0x4b7fffff,
		1 << 24:         0x4b800000,
		1<<24 + 1:       0x4b800000, // truncated
		1<<25 - 1:       0x4bffffff, // not rounded up to 1<<25
		math.MaxUint64:  0x5f7fffff,
		1<<40 + 1<<16:   0x53800000,
		1<<40 + 3<<16:   0x53800001,
		360_000_000_000: 0x52a7a358, // 114 years
	} {
		if got := floatCode(v); got != want {
			t.Errorf("%d: %#x, want %#x", v, got, want)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, tt := range []struct {
		ticks uint64
		hz    uint16
		want  time.Duration
		ok    bool
	}{
		{0, 100, 0, true},
		{1, 100, 10 * time.Millisecond, true},
		{1024, 1024, time.Second, true},
		{1, 1024, 976562 * time.Nanosecond, true}, // 976562.5
		{3, 1, 3 * time.Second, true},
		{922_337_203_685, 100, 9_223_372_036_850_000_000, true},
		{922_337_203_686, 100, 0, false},
		{math.MaxUint64, 1, 0, false},
	} {
		got, ok := ticksTime(tt.ticks, tt.hz)
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("%d ticks at %d Hz: %v, %v; want %v, %v", tt.ticks, tt.hz, got, ok, tt.want, tt.ok)
		}
		if back := timeTicks(got, tt.hz); ok && back != tt.ticks {
			t.Errorf("%v at %d Hz: %d ticks, want %d", got, tt.hz, back, tt.ticks)
		}
	}
	if got := timeTicks(19*time.Millisecond, 100); got != 1 {
		t.Errorf("19 ms are %d ticks, want 1", got)
	}
	if got := timeTicks(-time.Second, 100); got != 0 {
		t.Errorf("a negative time is %d ticks", got)
	}
}
