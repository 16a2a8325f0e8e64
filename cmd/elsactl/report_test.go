// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/client"
)

// Where only UTC days are known, a report by hour or by a day of another zone
// says so.
func TestReportDaily(t *testing.T) {
	rows := []client.ReportRow{
		{Hour: day, Daily: true, Spent: client.Spent{Processes: 1}},
		{Hour: day.Add(24 * time.Hour), Spent: client.Spent{Processes: 2}},
		{Hour: day.Add(25 * time.Hour), Spent: client.Spent{Processes: 4}},
		{Hour: day.Add(47 * time.Hour), Spent: client.Spent{Processes: 8}},
	}
	old := time.Local
	defer func() { time.Local = old }()
	for zone, want := range map[*time.Location][]string{
		time.UTC:                     {"2026-03-04 1", "2026-03-05 14"},
		time.FixedZone("", 2*60*60):  {"2026-03-04 (UTC) 1", "2026-03-05 6", "2026-03-06 8"},
		time.FixedZone("", -1*60*60): {"2026-03-04 (UTC) 1", "2026-03-04 2", "2026-03-05 12"},
	} {
		time.Local = zone
		var got []string
		for _, r := range perDay(rows) {
			got = append(got, fmt.Sprint(rowName("day", &r), " ", r.Processes))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("by day in %v (-want +got):\n%s", zone, diff)
		}
	}
	time.Local = time.UTC
	if a, b := rowName("hour", &rows[0]), rowName("hour", &rows[1]); a != "2026-03-04 (UTC day)" || b != "2026-03-05 00:00" {
		t.Errorf("by hour: %q and %q", a, b)
	}
	lines := reportRows(&client.Report{By: "hour", Rows: rows}, true)
	if lines[0].Scope != "day" || lines[0].Name != "2026-03-04T00:00:00Z" || lines[1].Scope != "hour" {
		t.Errorf("as CSV: %+v", lines[:2])
	}
}

// Where clocks are put forward at midnight, east and west of Greenwich, a day begins at
// 01:00: what is used from then on is of that day, and nothing before.
func TestDayWithoutMidnight(t *testing.T) {
	defer func(zone *time.Location) { time.Local = zone }(time.Local)
	for _, tc := range []struct{ zone, day, before, begins string }{
		{"Asia/Beirut", "2026-03-29", "2026-03-28", "2026-03-29T01:00:00+03:00"},
		{"Africa/Cairo", "2026-04-24", "2026-04-23", "2026-04-24T01:00:00+03:00"},
		{"America/Havana", "2026-03-08", "2026-03-07", "2026-03-08T01:00:00-04:00"},
		{"America/Santiago", "2026-09-06", "2026-09-05", "2026-09-06T01:00:00-03:00"},
		{"Australia/Lord_Howe", "2026-10-04", "2026-10-03", "2026-10-04T00:00:00+10:30"},
	} {
		zone, err := time.LoadLocation(tc.zone)
		if err != nil {
			t.Fatal(err)
		}
		begins, err := time.Parse(time.RFC3339, tc.begins)
		if err != nil {
			t.Fatal(err)
		}
		now := begins.Add(9 * time.Hour).In(zone)
		for in, now := range map[string]time.Time{"today": now, "yesterday": now.Add(24 * time.Hour), tc.day: now} {
			if got, err := parseTime(in, now); err != nil || !got.Equal(begins) {
				t.Errorf("%s: %s is %v, %v; want %s", tc.zone, in, got, err, tc.begins)
			}
		}
		time.Local = zone
		var hours []client.ReportRow
		for h := -2; h < 3; h++ {
			hours = append(hours, client.ReportRow{Hour: begins.Add(time.Duration(h) * time.Hour), Spent: client.Spent{Processes: 1}})
		}
		var got []string
		for _, r := range perDay(hours) {
			got = append(got, fmt.Sprint(rowName("day", &r), " ", r.Processes))
		}
		if diff := cmp.Diff([]string{tc.before + " 2", tc.day + " 3"}, got); diff != "" {
			t.Errorf("%s: by day (-want +got):\n%s", tc.zone, diff)
		}
	}
}

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
		{"02:00", "2026-03-29T02:00:00+02:00"},
		{"15:04", "2026-03-29T15:04:00+02:00"},
		{"15:04:06", "2026-03-28T15:04:06+02:00"},
		{"2026-03-04", "2026-03-04T00:00:00+02:00"},
		{"2026-03-04 05:06", "2026-03-04T05:06:00+02:00"},
		{"2026-03-04 05:06:07", "2026-03-04T05:06:07+02:00"},
		{"2026-03-04T05:06:07Z", "2026-03-04T05:06:07Z"},
		{"", "0001-01-01T00:00:00Z"},
		{"-2h", ""}, {"7", ""}, {"7dd", ""}, {"2026-13-01", ""}, {"soon", ""}, {"25:00", ""}, {"2:5", ""},
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
