// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"elsa/pkg/acct"
)

// drawMeasure fills every field.
func drawMeasure(t *rapid.T, label string) (m Measure) {
	for f := range m {
		m[f] = rapid.Uint64Range(0, 50).Draw(t, label+" "+table[f].Name)
	}
	return m
}

// TestModelMeasure holds the laws that the bills rest on, for every field.
func TestModelMeasure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawMeasure(t, "a"), drawMeasure(t, "b")
		d := a.beyond(&b)
		if d.CPU() != max(a.CPU()-b.CPU(), 0) || time.Duration(d[User]) < 0 || time.Duration(d[System]) < 0 {
			t.Errorf("%+v beyond %+v is %+v", a, b, d)
		}
		sum := b
		sum.add(&d)
		up := a
		up.raise(&b)
		if sum[MaxRSS] = up[MaxRSS]; sum != up {
			t.Errorf("%+v raised to %+v is %+v, want %+v", a, b, up, sum)
		}
		if up.CPU() != max(a.CPU(), b.CPU()) || up[User] < b[User] || up[System] < b[System] || up[MaxRSS] != max(a[MaxRSS], b[MaxRSS]) {
			t.Errorf("%+v raised to %+v is %+v", a, b, up)
		}
		for f := System + 1; f < Measured; f++ {
			if up[f] != max(a[f], b[f]) {
				t.Errorf("%s: %v raised to %v is %v", table[f].Name, a[f], b[f], up[f])
			}
		}
		back := up
		back.sub(&b)
		again := up.beyond(&b)
		if back[MaxRSS] = again[MaxRSS]; back != again {
			t.Errorf("%+v less %+v is %+v and %+v", up, b, back, again)
		}
		both := a
		both.add(&b)
		var u Usage
		u.AddMeasure(&a)
		u.AddMeasure(&b)
		var want Usage
		copy(want[:], both[:])
		if u != want {
			t.Errorf("%v and %v are %v on a bill, want %v", a, b, u, want)
		}
	})
}

// TestModelUsageAdd checks that usage is a commutative monoid, in every field.
func TestModelUsageAdd(t *testing.T) {
	draw := func(t *rapid.T, label string) (u Usage) {
		for f := range u {
			u[f] = rapid.Uint64Range(0, 50).Draw(t, label+" "+table[f].Name)
		}
		return u
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b, zero := draw(t, "a"), draw(t, "b"), Usage{}
		ab, ba, a0 := a, b, a
		ab.Add(&b)
		ba.Add(&a)
		a0.Add(&zero)
		if ab != ba || a0 != a {
			t.Errorf("a+b = %+v, b+a = %+v, a+0 = %+v", ab, ba, a0)
		}
		more := a.Increase(&ab)
		for f := range ab {
			want, grown := a[f]+b[f], b[f]
			switch Field(f) {
			case MaxRSS:
				want, grown = max(a[f], b[f]), 0
			case Live:
				grown = 0
			}
			if ab[f] != want || more[f] != grown {
				t.Errorf("%s: %d and %d make %d, %d more; want %d and %d", table[f].Name, a[f], b[f], ab[f], more[f], want, grown)
			}
		}
	})
}

func TestMeasureOf(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for _, c := range []struct {
		name             string
		user, sys, total time.Duration
		wantUser         time.Duration
	}{
		{"the ratio of ticks", 10, 30, 100, 25},
		{"no ticks", 0, 0, 100, 100},
		{"all user", 10, 0, 100, 100},
		{"no total of its own", 10, 30, 0, 10},
		{"rounds system time down", 1, 2, 100, 34},
		{"numbers whose product has more than 64 bits", 100 * year, 100 * year, 200 * year, 100 * year},
	} {
		m := measureOf(&acct.Record{User: c.user, System: c.sys, CPU: c.total})
		total := max(c.total, c.user+c.sys)
		if c.total > 0 {
			total = c.total
		}
		if time.Duration(m[User]) != c.wantUser || m.CPU() != total {
			t.Errorf("%s: user %v of %v, want %v of %v", c.name, time.Duration(m[User]), m.CPU(), c.wantUser, total)
		}
	}
	r := acct.Record{Elapsed: 1, MinorFaults: 2, MajorFaults: 3, ReadBytes: 4, WriteBytes: 5, ReadChars: 6, WriteChars: 7,
		MaxRSS: 8, VoluntarySwitches: 9, InvoluntarySwitches: 10}
	want := Measure{Elapsed: 1, MinorFaults: 2, MajorFaults: 3, ReadBytes: 4, WriteBytes: 5, ReadChars: 6, WriteChars: 7,
		MaxRSS: 8, VoluntarySwitches: 9, InvoluntarySwitches: 10}
	if m := measureOf(&r); m != want {
		t.Errorf("got %+v, want %+v", m, want)
	}
}
