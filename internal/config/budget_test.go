// SPDX-License-Identifier: Apache-2.0

package config

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAllowances(t *testing.T) {
	names := []string{"ci/a", "ci/b", "other", "web"}
	got := Allowances([]Budget{
		{"ci/", 9 * time.Hour}, {"web", time.Hour}, {"w*", 2 * time.Hour}, {"nix", time.Hour}, {"no/", time.Hour}, {"ci/?", 3 * time.Hour},
	}, names)
	want := []Allowance{
		{"ci/", 9 * time.Hour, []int{0, 1}}, {"web", time.Hour, []int{3}},
		{"ci/a", 3 * time.Hour, []int{0}}, {"ci/b", 3 * time.Hour, []int{1}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMonth(t *testing.T) {
	first, next := Month(time.Date(2027, 1, 1, 0, 30, 0, 0, time.FixedZone("", 3600))) // still December in UTC
	if first.Format(time.RFC3339) != "2026-12-01T00:00:00Z" || next.Format(time.RFC3339) != "2027-01-01T00:00:00Z" {
		t.Errorf("%v to %v", first, next)
	}
}
