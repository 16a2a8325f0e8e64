// SPDX-License-Identifier: Apache-2.0

package clock

import (
	"testing"
	"time"
)

func TestConversions(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 8, time.FixedZone("east", 3600))
	w := WallOf(at)
	if !w.Time().Equal(at) || w.Time().Location() != time.UTC || w.Seconds() != at.Unix() {
		t.Errorf("%v became %v", at, w.Time())
	}
	const booted = Wall(1.7e18)
	if b := w.Boot(booted); b.Wall(booted) != w || b != Boot(w-booted) {
		t.Errorf("%d became %d", w, b.Wall(booted))
	}
	if b := w.Boot(booted); w.AtBoot(b) != booted {
		t.Errorf("booted at %d, want %d", w.AtBoot(b), booted)
	}
	if b := Mono(7).Boot(time.Second); b != 1_000_000_007 {
		t.Errorf("Mono(7) is %d after a second asleep", b)
	}
	if b := Boot(5).Add(3); b != 8 || b.Sub(5) != 3 {
		t.Errorf("5+3 is %d", b)
	}
	if w := booted.Add(3); w.Sub(booted) != 3 {
		t.Errorf("booted+3 is %d", w)
	}
}

// A begin that is not known fits all.
func TestSameBegin(t *testing.T) {
	if !SameBegin(0, 1e9) || !SameBegin(1e9, 0) || !SameBegin(1e9, 1e9+2) || SameBegin(1e9, 1e9+3) {
		t.Error("begins are the same, or not, where they are not")
	}
}

func TestLifetime(t *testing.T) {
	s := At(100e9, Stamped)
	for _, tt := range []struct {
		name      string
		got, want bool
	}{
		{"line", s.LivedByLine(110e9, 10*sec, 0), true},
		{"line, written late", s.LivedByLine(110e9, 9*sec+ms, 0), true},
		{"line of another", s.LivedByLine(110e9, 8*sec, 0), false},
		{"line without exit", s.LivedByLine(0, -100*sec, 0), false},
		{"taskstats", s.LivedByTaskstats(110e9, 111e9, 10*sec+50*ms, 0), true},
		{"taskstats of another", s.LivedByTaskstats(110e9, 111e9, 10*sec+51*ms, 0), false},
		{"taskstats that came later", s.LivedByTaskstats(110e9, 113e9, 10*sec, 0), false},
		{"taskstats without exit", s.LivedByTaskstats(0, 0, -100*sec, 0), false},
		{"line, an hour asleep", s.LivedByLine(3710e9, 10*sec, 3600*sec), true},
		{"line, asleep for some of it", s.LivedByLine(200e9, 10*sec, 3600*sec), true},
		{"line, longer than asleep", s.LivedByLine(3712e9, 10*sec, 3600*sec), false},
		{"line, longer than the life", s.LivedByLine(110e9, 12*sec, 3600*sec), false},
		{"taskstats, an hour asleep", s.LivedByTaskstats(3710e9, 3710e9, 10*sec, 3600*sec), true},
		{"begin, an hour asleep", s.SameAsleep(At(3702e9, Second), 0, 10*sec, 3600*sec), true},
		{"begin and exit", s.SameAsleep(At(3702e9, Second), 3710e9, 10*sec, 3600*sec), true},
		{"begin and a late exit", s.SameAsleep(At(3702e9, Second), 3720e9, 10*sec, 3600*sec), true},
		{"begin and an exit before", s.SameAsleep(At(3702e9, Second), 3708e9, 10*sec, 3600*sec), false},
		{"begin after more sleep than there was", s.SameAsleep(At(3703e9, Second), 0, 10*sec, 3600*sec), false},
		{"begin before the process", s.SameAsleep(At(97e9, Second), 0, 10*sec, 3600*sec), false},
		{"ends later than that", At(100e9, Second).EndsWithin(120e9, 200e9, 10*sec), false},
		{"ends in time", At(100e9, Second).EndsWithin(108e9, 200e9, 10*sec), true},
		{"ends after that", At(100e9, Second).EndsWithin(50e9, 100e9, 10*sec), false},
		{"cut", SameLifetime(10*ms, 29*ms), true},
		{"too long", SameLifetime(10*ms, 31*ms), false},
		{"moments apart", SameLifetime(10*ms, 9*ms), true},
		{"too short", SameLifetime(10*ms, 8*ms), false},
		{"a month, in 24 bits", SameLifetime(30*24*3600*sec, 30*24*3600*sec+300*ms), true},
		{"a month, another", SameLifetime(30*24*3600*sec, 30*24*3600*sec+400*ms), false},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %v", tt.name, tt.got)
		}
	}
}
