// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"elsa/pkg/acct"
)

// Every field has a name of its own, a place in the database if it is kept, and if
// it is measured a record that has it.
func TestTable(t *testing.T) {
	names, reports, sorts := map[string]Field{}, map[string]Field{}, map[string]Field{}
	unique := func(what string, seen map[string]Field, name string, f Field) {
		if other, ok := seen[name]; ok && name != "" {
			t.Errorf("fields %d and %d have the same %s %q", other, f, what, name)
		}
		seen[name] = f
	}
	for f := range Fields {
		i := f.Info()
		if i.Name == "" {
			t.Errorf("field %d has no name", f)
		}
		unique("name", names, i.Name, f)
		unique("name in a report", reports, i.InReport(), f)
		unique("word to sort by", sorts, i.Sort, f)
		if seconds := strings.HasSuffix(i.Name, "_seconds"); seconds != (i.Unit == Seconds) {
			t.Errorf("%s: is in seconds: %v", i.Name, i.Unit == Seconds)
		}
		if i.Peak != strings.HasPrefix(i.Name, "max_") {
			t.Errorf("%s: is a peak: %v", i.Name, i.Peak)
		}
		n := 0
		for _, s := range Stored {
			if s == f {
				n++
			}
		}
		if want := map[bool]int{true: 0, false: 1}[f == Live]; n != want {
			t.Errorf("%s is %d times in Stored, want %d", i.Name, n, want)
		}
		if s := i.Series; s.Family != nil {
			if s.Family.Gauge != (i.Peak || f == Live) {
				t.Errorf("%s: its metric is a gauge: %v", i.Name, s.Family.Gauge)
			}
			if (s.Value != "") != (s.Family.Label != "") {
				t.Errorf("%s: label %q has the value %q", i.Name, s.Family.Label, s.Value)
			}
			if strings.Count(s.Family.Help, "%s") != 1 {
				t.Errorf("%s: help %q does not say once whose figures they are", i.Name, s.Family.Help)
			}
		}
	}
	if !slices.IsSortedFunc(Stored[:], func(a, b Field) int {
		if a < Measured && b < Measured {
			return int(a - b)
		}
		return 0
	}) {
		t.Error("the database has what is measured in another order on bills than in accounts")
	}
	var r acct.Record
	v := reflect.ValueOf(&r).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); {
		case f.CanInt():
			f.SetInt(int64(i) + 1)
		case f.CanUint():
			f.SetUint(uint64(i) + 1)
		}
	}
	m := measureOf(&r)
	for f, n := range m {
		if n == 0 {
			t.Errorf("%s is in no record", table[f].Name)
		}
	}
}

func TestValue(t *testing.T) {
	u := Usage{User: 1_500_000_000, ReadBytes: 7, Live: 3}
	if u.Value(User) != 1.5 || u.Value(ReadBytes) != 7 || u.Value(Live) != 3 {
		t.Errorf("got %v s, %v bytes, %v live", u.Value(User), u.Value(ReadBytes), u.Value(Live))
	}
}

func TestAllocs(t *testing.T) {
	var u, v Usage
	var m Measure
	if n := testing.AllocsPerRun(10, func() { u.Add(&v); u.AddMeasure(&m); v = v.Increase(&u); m = m.beyond(&Measure{User: 1}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
