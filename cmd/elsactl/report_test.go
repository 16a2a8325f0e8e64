// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	zone := time.FixedZone("", 2*3600)
	now := time.Date(2026, 3, 29, 15, 4, 5, 0, zone)
	for _, tc := range []struct{ in, want string }{
		{"now", "2026-03-29T15:04:05+02:00"},
		{"today", "2026-03-29T00:00:00+02:00"},
		{"yesterday", "2026-03-28T00:00:00+02:00"},
		{"90m", "2026-03-29T13:34:05+02:00"},
		{"36h", "2026-03-28T03:04:05+02:00"},
		{"7d", "2026-03-22T15:04:05+02:00"},
		{"2w", "2026-03-15T15:04:05+02:00"},
		{"2026-03-04", "2026-03-04T00:00:00+02:00"},
		{"2026-03-04 05:06", "2026-03-04T05:06:00+02:00"},
		{"2026-03-04 05:06:07", "2026-03-04T05:06:07+02:00"},
		{"2026-03-04T05:06:07Z", "2026-03-04T05:06:07Z"},
		{"", "0001-01-01T00:00:00Z"},
		{"-2h", ""}, {"7", ""}, {"7dd", ""}, {"2026-13-01", ""}, {"soon", ""},
	} {
		got, err := parseTime(tc.in, now)
		switch {
		case tc.want == "" && err == nil:
			t.Errorf("%q: %v, want an error", tc.in, got)
		case tc.want != "" && (err != nil || got.Format(time.RFC3339) != tc.want):
			t.Errorf("%q: %v, %v; want %s", tc.in, got.Format(time.RFC3339), err, tc.want)
		}
	}
}
