// SPDX-License-Identifier: Apache-2.0

package api

import (
	"testing"

	"elsa/pkg/client"
	"elsa/pkg/usage"
)

// Sums and differences have every figure, as the table of fields says.
func TestSums(t *testing.T) {
	var u, v usage.Usage
	for f := range usage.Fields {
		u[f], v[f] = uint64(f+1)*1e9, uint64(f+1)*3e9
	}
	sum, more := spent(&u), spent(&v)
	sum.Add(&more)
	more.Add(&Spent{MaxRSSBytes: 1})
	a, b := FromUsage(&u), FromUsage(&v)
	diff := b.Since(&a)
	p, q := fromPrecision(&u), fromPrecision(&v)
	grades := q.Since(&p)
	for f := range usage.Fields {
		i := f.Info()
		if name := i.InReport(); name != "" {
			want := u.Value(f) + v.Value(f)
			if i.Peak {
				want = v.Value(f)
			}
			if got := client.Figure(&sum, name); got != want {
				t.Errorf("sum of %s is %v, want %v", name, got, want)
			}
			if got := client.Figure(more, name); got != v.Value(f) {
				t.Errorf("%s is %v with nothing added, want %v", name, got, v.Value(f))
			}
		}
		want := v.Value(f) - u.Value(f)
		if i.Peak || f == usage.Live {
			want = v.Value(f)
		}
		if got := client.Figure(diff, i.Name) + client.Figure(grades, i.Name); got != want {
			t.Errorf("%s since then is %v, want %v", i.Name, got, want)
		}
	}
	if sum.CPUSeconds != u.CPU().Seconds()+v.CPU().Seconds() || diff.CPUSeconds != v.CPU().Seconds()-u.CPU().Seconds() {
		t.Errorf("CPU: sum %v, difference %v", sum.CPUSeconds, diff.CPUSeconds)
	}
	if back := a.Since(&b); back.CPUSeconds != 0 || back.MinorFaults != 0 {
		t.Errorf("less than nothing: %+v", back)
	}
	if client.Figure(sum, "no such") != 0 {
		t.Error("a figure that is not there is not zero")
	}
}
