// SPDX-License-Identifier: Apache-2.0

package acct

import (
	"math"
	"math/bits"
	"time"
)

// The compressed numbers of the accounting file, kernel/acct.c.

// compValue is what a comp_t stands for: a 13-bit fraction, shifted by a 3-bit
// exponent to the base 8.
func compValue(c uint16) uint64 { return uint64(c&0x1fff) << (3 * (c >> 13)) }

// compCode encodes v as encode_comp_t does: rounded by the last bit shifted
// out, and the largest code for what is too large. (Old kernels let the exponent
// overflow instead.)
func compCode(v uint64) uint16 {
	exp, up := uint16(0), false
	for v > 0x1fff {
		up = v&4 != 0
		v >>= 3
		exp++
	}
	if up {
		if v++; v > 0x1fff {
			v >>= 3
			exp++
		}
	}
	if exp > 7 {
		return math.MaxUint16
	}
	return exp<<13 | uint16(v)
}

// comp2Value is what a comp2_t (24 bits) stands for: a 5-bit exponent to the
// base 2 and a fraction of 20 bits, whose first is not stored but where the
// exponent is zero.
func comp2Value(c uint32) uint64 {
	exp, v := c>>19, uint64(c&0x7ffff)
	if exp == 0 {
		return v
	}
	return (v | 1<<19) << (exp - 1)
}

// comp2Code encodes v as encode_comp2_t does.
func comp2Code(v uint64) uint32 {
	exp, up := uint32(0), false
	if v > 0x7ffff {
		exp = 1
	}
	for v > 0xfffff {
		up = v&1 != 0
		v >>= 1
		exp++
	}
	if up {
		if v++; v > 0xfffff {
			v >>= 1
			exp++
		}
	}
	if exp > 31 {
		return 1<<24 - 1
	}
	return uint32(v)&0x7ffff | exp<<19
}

// floatCode encodes v as encode_float does: an IEEE float, truncated.
func floatCode(v uint64) uint32 {
	if n := bits.Len64(v); n > 24 {
		v &^= 1<<(n-24) - 1
	}
	return math.Float32bits(float32(v))
}

// ticksTime is the time of n ticks, hz to the second, rounded down. It is
// false if that does not fit, after 292 years.
func ticksTime(n uint64, hz uint16) (time.Duration, bool) {
	hi, lo := bits.Mul64(n, uint64(time.Second))
	if hi >= uint64(hz) {
		return 0, false // the quotient would have more than 64 bits
	}
	q, _ := bits.Div64(hi, lo, uint64(hz))
	return time.Duration(q), q <= math.MaxInt64
}

// timeTicks is the inverse of ticksTime, rounded down, except that a time
// ticksTime made gives the ticks it was made of. Negative times are zero.
func timeTicks(d time.Duration, hz uint16) uint64 {
	if d <= 0 {
		return 0
	}
	// ticksTime lost less than a nanosecond.
	hi, lo := bits.Mul64(uint64(d)+1, uint64(hz))
	lo, borrow := bits.Sub64(lo, 1, 0)
	q, _ := bits.Div64(hi-borrow, lo, uint64(time.Second))
	return q
}
