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

func TestLifetime(t *testing.T) {
	s := At(100e9, Stamped)
	for _, tt := range []struct {
		name      string
		got, want bool
	}{
		{"line", s.LivedByLine(110e9, 10*sec), true},
		{"line, written late", s.LivedByLine(110e9, 9*sec+ms), true},
		{"line of another", s.LivedByLine(110e9, 8*sec), false},
		{"line without exit", s.LivedByLine(0, -100*sec), false},
		{"taskstats", s.LivedByTaskstats(110e9, 111e9, 10*sec+50*ms), true},
		{"taskstats of another", s.LivedByTaskstats(110e9, 111e9, 10*sec+51*ms), false},
		{"taskstats that came later", s.LivedByTaskstats(110e9, 113e9, 10*sec), false},
		{"taskstats without exit", s.LivedByTaskstats(0, 0, -100*sec), false},
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
