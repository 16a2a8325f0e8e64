// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"testing"

	"elsa/pkg/client"
)

func TestSeconds(t *testing.T) {
	for _, tc := range []struct {
		s    float64
		want string
	}{
		{0, "0.000s"}, {0.0004, "0.000s"}, {0.0005, "0.001s"}, {1.2344, "1.234s"}, {59.9994, "59.999s"},
		{59.9996, "1m00.0s"}, {60, "1m00.0s"}, {75.06, "1m15.1s"}, {3599.94, "59m59.9s"},
		{3599.96, "1h00m"}, {3600, "1h00m"}, {5400, "1h30m"}, {86369, "23h59m"}, {86371, "1d00h"}, {93600, "1d02h"}, {1e7, "115d18h"},
		{-1.5, "-1.500s"},
	} {
		if got := seconds(tc.s); got != tc.want {
			t.Errorf("seconds(%v) = %s, want %s", tc.s, got, tc.want)
		}
	}
}

func TestBytes(t *testing.T) {
	for _, tc := range []struct {
		n    uint64
		want string
	}{
		{0, "0 B"}, {1023, "1023 B"}, {1024, "1.0 KiB"}, {1536, "1.5 KiB"}, {12897484, "12.3 MiB"},
		{1<<20 - 1, "1.0 MiB"}, {1<<20 - 52, "1023.9 KiB"}, {5 << 30, "5.0 GiB"}, {math.MaxUint64, "16.0 EiB"},
	} {
		if got := bytes(tc.n); got != tc.want {
			t.Errorf("bytes(%d) = %s, want %s", tc.n, got, tc.want)
		}
	}
}

func TestPrecision(t *testing.T) {
	for _, tc := range []struct {
		p    client.Precision
		want string
	}{
		{client.Precision{}, ""},
		{client.Precision{Exact: 5}, "exact"},
		{client.Precision{Rounded: 5}, "rounded"},
		{client.Precision{Sampled: 5, Inferred: 2}, "sampled, 2 inferred"},
		{client.Precision{Exact: 5, Rounded: 1}, "5 exact, 1 rounded"},
	} {
		if got := precision(tc.p); got != tc.want {
			t.Errorf("precision(%+v) = %q, want %q", tc.p, got, tc.want)
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 processes", 1: "1 process", 2: "2 processes"} {
		if got := count(n, "process"); got != want {
			t.Errorf("count(%d) = %q, want %q", n, got, want)
		}
	}
}
