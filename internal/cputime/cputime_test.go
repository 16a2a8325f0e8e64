// SPDX-License-Identifier: Apache-2.0

package cputime

import (
	"math"
	"testing"
	"time"
)

func TestSplit(t *testing.T) {
	const (
		us   = time.Microsecond
		ms   = time.Millisecond
		year = 365 * 24 * time.Hour
	)
	for _, tt := range []struct {
		name               string
		total, user, sys   time.Duration
		wantUser, wantSyst time.Duration
	}{
		{"no tick hit it", 700 * us, 0, 0, 700 * us, 0},
		{"only user ticks", 9 * ms, 8 * ms, 0, 9 * ms, 0},
		{"only system ticks", 9 * ms, 0, 8 * ms, 0, 9 * ms},
		{"one to three", 100 * ms, 28 * ms, 84 * ms, 25 * ms, 75 * ms},
		{"more ticks than time", 2 * ms, 4 * ms, 4 * ms, ms, ms},
		{"system time is rounded down", 100, 1, 2, 34, 66},
		{"nothing to divide", 0, 4 * ms, 4 * ms, 0, 0},
		{"negative user ticks are none", 5 * ms, -4 * ms, 2 * ms, 0, 5 * ms},
		{"negative system ticks are none", 5 * ms, 4 * ms, -2 * ms, 5 * ms, 0},
		{"a year of 64 CPUs", 64 * year, 1e18, 1e18, 32 * year, 32 * year},
		{"the largest there are", math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64/2 + 1, math.MaxInt64 / 2},
		{"a damaged total", -5, 1, 1, -5, 0},
	} {
		user, system := Split(tt.total, tt.user, tt.sys)
		if user != tt.wantUser || system != tt.wantSyst {
			t.Errorf("%s: Split(%d, %d, %d) = %d, %d; want %d, %d",
				tt.name, tt.total, tt.user, tt.sys, user, system, tt.wantUser, tt.wantSyst)
		}
	}
}
