// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"
)

// startOfDay is the first moment of a day. Where clocks are put forward at midnight,
// the day begins at 01:00.
func startOfDay(year int, month time.Month, day int, zone *time.Location) time.Time {
	t := time.Date(year, month, day, 0, 0, 0, 0, zone)
	noon := time.Date(year, month, day, 12, 0, 0, 0, zone)
	if t.Day() == noon.Day() {
		return t
	}
	_, forward := t.ZoneBounds() // an hour before the day there is
	return forward
}

// parseTime reads a time from the command line; zero for none.
func parseTime(s string, now time.Time) (time.Time, error) {
	year, month, day := now.Date()
	switch s {
	case "":
		return time.Time{}, nil
	case "now":
		return now, nil
	case "today":
		return startOfDay(year, month, day, now.Location()), nil
	case "yesterday":
		return startOfDay(year, month, day-1, now.Location()), nil
	}
	var n int
	var unit string
	if k, err := fmt.Sscanf(s, "%d%s", &n, &unit); err == nil && k == 2 && n >= 0 {
		switch unit {
		case "d":
			return now.AddDate(0, 0, -n), nil
		case "w":
			return now.AddDate(0, 0, -7*n), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{"15:04", time.TimeOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return lastAt(t, now), nil
		}
	}
	if t, err := time.ParseInLocation(time.DateOnly, s, now.Location()); err == nil {
		t = t.Add(12 * time.Hour) // of that day for certain
		return startOfDay(t.Year(), t.Month(), t.Day(), now.Location()), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04", time.DateTime, "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, badUsage("%q is no time; use a duration (36h, 7d), a time of day (02:00), a date (2026-03-04), a date and time, today, yesterday or RFC 3339", s)
}

// lastAt is when it was that time of day last, today or yesterday.
func lastAt(t, now time.Time) time.Time {
	year, month, day := now.Date()
	at := func(day int) time.Time {
		return time.Date(year, month, day, t.Hour(), t.Minute(), t.Second(), 0, now.Location())
	}
	if today := at(day); !today.After(now) {
		return today
	}
	return at(day - 1)
}
