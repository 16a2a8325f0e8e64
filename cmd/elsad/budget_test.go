// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/internal/config"
	"elsa/internal/history"
	"elsa/internal/metrics"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// Budgets are of the month, of groups with what was merged into them, and of parents,
// in which a process of two groups counts once.
func TestSpent(t *testing.T) {
	now := time.Date(2026, 11, 29, 5, 0, 0, 0, time.UTC)
	hour := usage.HourOf(now.Unix())
	november := usage.HourOf(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).Unix())
	cells := []history.Key{
		{Hour: hour, Groups: []uint32{1}},
		{Hour: november, Groups: []uint32{9}},     // now in group 1
		{Hour: november - 1, Groups: []uint32{1}}, // October
		{Hour: hour, Groups: []uint32{1, 2}},
		{Hour: hour, Groups: []uint32{3}},
	}
	gs := []groups.Group{{ID: 1, Name: "ci/a", Absorbed: []uint32{9}}, {ID: 2, Name: "ci/b"}, {ID: 3, Name: "web"}, {ID: 4, Name: "x"}}
	budgets := []config.Budget{{Group: "ci/", CPU: 6 * time.Hour}, {Group: "ci/*", CPU: 4 * time.Hour}, {Group: "?", CPU: time.Hour}}
	got, err := spent(budgets, gs, now, func(first, last uint32, f func(*history.Key, *usage.Usage) error) error {
		for _, k := range cells {
			if k.Hour >= first && k.Hour < last {
				f(&k, &usage.Usage{usage.User: uint64(time.Hour)})
			}
		}
		return nil
	})
	want := []metrics.Budget{{Group: "ci/", Ratio: 0.5}, {Group: "ci/a", Ratio: 0.75}, {Group: "ci/b", Ratio: 0.25}, {Group: "x"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
