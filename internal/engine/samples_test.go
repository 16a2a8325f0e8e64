// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"reflect"
	"testing"

	"elsa/internal/tally"
	"elsa/pkg/proc"
	"elsa/pkg/usage"
)

// A live sample fills every figure but those that only the end of a process tells,
// and one without I/O is counted.
func TestMeasure(t *testing.T) {
	var s proc.Sample
	v := reflect.ValueOf(&s).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); {
		case f.CanInt():
			f.SetInt(int64(i) + 1)
		case f.CanUint():
			f.SetUint(uint64(i) + 1)
		}
	}
	atEnd := map[usage.Field]bool{usage.Elapsed: true, usage.CPUDelay: true}
	e := &Engine{}
	for f, n := range e.measure(&s) {
		if (n == 0) != atEnd[usage.Field(f)] {
			t.Errorf("%s is %d in a sample of a live process", usage.Field(f).Info().Name, n)
		}
	}
	if n := e.counts[tally.SamplesDenied]; n != 0 {
		t.Errorf("%d samples denied, want none", n)
	}
	s.Denied = true
	e.measure(&s)
	if n := e.counts[tally.SamplesDenied]; n != 1 {
		t.Errorf("%d samples denied, want 1", n)
	}
}
