// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/usage"
)

// Answers have every field of the usage vector under its name, in base units, and
// none that is not in the table.
func TestFigures(t *testing.T) {
	var u usage.Usage
	bill, report := map[string]float64{}, map[string]float64{}
	for f := range usage.Fields {
		u[f] = uint64(f+1) * 1_500_000_000
		bill[f.Info().Name] = u.Value(f)
		if name := f.Info().InReport(); name != "" {
			report[name] = u.Value(f)
		}
	}
	// The sum of two fields is the only figure that is no field.
	bill["cpu_seconds"] = u.CPU().Seconds()
	report["cpu_seconds"] = bill["cpu_seconds"]
	members := func(v any) (m map[string]float64) {
		b, err := json.Marshal(v)
		if err == nil {
			err = json.Unmarshal(b, &m)
		}
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	got := members(FromUsage(&u))
	maps.Copy(got, members(fromPrecision(&u)))
	if diff := cmp.Diff(bill, got); diff != "" {
		t.Errorf("a bill (-table +answer):\n%s", diff)
	}
	if diff := cmp.Diff(report, members(spent(&u))); diff != "" {
		t.Errorf("a report (-table +answer):\n%s", diff)
	}
}
