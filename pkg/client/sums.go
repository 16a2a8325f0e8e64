// SPDX-License-Identifier: Apache-2.0

package client

import (
	"math"
	"reflect"
	"strings"
)

// Figure returns the member of an answer that has a JSON name, zero if it has none:
// v is a [Usage], [Spent] or [Precision], or points to one.
func Figure(v any, name string) float64 {
	s := reflect.Indirect(reflect.ValueOf(v))
	for i := range s.NumField() {
		if jsonName(s.Type().Field(i)) != name {
			continue
		}
		if f := s.Field(i); f.CanFloat() {
			return f.Float()
		} else if f.CanUint() {
			return float64(f.Uint())
		}
	}
	return 0
}

// Add adds t to s: sums, and the larger of peaks, which are called max.
func (s *Spent) Add(t *Spent) {
	sum, more := reflect.ValueOf(s).Elem(), reflect.ValueOf(t).Elem()
	for i := range sum.NumField() {
		f, g := sum.Field(i), more.Field(i)
		switch peak := isPeak(sum.Type().Field(i)); {
		case f.CanFloat():
			f.SetFloat(f.Float() + g.Float())
		case peak:
			f.SetUint(max(f.Uint(), g.Uint()))
		default:
			f.SetUint(f.Uint() + g.Uint())
		}
	}
}

// Since returns what of u came since before, never less than nothing. Peaks, which
// are called max, and the live processes are no sums over time: they stay.
func (u *Usage) Since(before *Usage) Usage { return since(*u, *before) }

// Since returns what of p came since before, never less than nothing.
func (p *Precision) Since(before *Precision) Precision { return since(*p, *before) }

func since[T any](after, before T) T {
	v, w := reflect.ValueOf(&after).Elem(), reflect.ValueOf(&before).Elem()
	for i := range v.NumField() {
		typ, f, g := v.Type().Field(i), v.Field(i), w.Field(i)
		switch {
		case isPeak(typ) || jsonName(typ) == "processes_live":
		case f.CanFloat():
			// To the nanosecond: the rest is what the difference of two floats adds.
			f.SetFloat(max(0, math.Round((f.Float()-g.Float())*1e9)/1e9))
		default:
			f.SetUint(f.Uint() - min(g.Uint(), f.Uint()))
		}
	}
	return after
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

func isPeak(f reflect.StructField) bool { return strings.HasPrefix(jsonName(f), "max_") }
