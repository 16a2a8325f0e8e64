// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"

	"elsa/pkg/client"
)

// What is amiss is said first, and nothing else is.
func TestHealth(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(*client.Status)
		want string
	}{
		{"nothing", func(*client.Status) {}, "all is well"},
		{"suspended", func(s *client.Status) { s.Sources.Suspended = true }, "accounting is suspended"},
		{"unsaved", func(s *client.Status) { s.UnsavedSince = time.Unix(1, 0) }, "nothing is safe on disk since"},
		{"events", func(s *client.Status) { s.Events.Lost = 1 }, "dropped 1 event,"},
		{"records", func(s *client.Status) { s.Records.LedgerLost, s.Records.ExactLost = 1, 2 }, "3 records lost"},
		{"unaccounted", func(s *client.Status) { s.Conservation.UnaccountedCPUSeconds = 3 }, "on no bill"},
		{"gaps", func(s *client.Status) { s.Records.LedgerGaps = 2 }, "has 2 gaps"},
		{"rules", func(s *client.Status) { s.Rules.Missed = 2 }, "2 processes ended before rules"},
		{"names", func(s *client.Status) { s.Names.Failed = 1 }, "did not answer 1 time"},
		{"journal", func(s *client.Status) { s.Journal.Lost = 4 }, "lost 4 rows"},
	} {
		var s client.Status
		tt.set(&s)
		if got := health(&s); len(got) != 1 || !strings.Contains(got[0], tt.want) {
			t.Errorf("%s: %q, want one line with %q", tt.name, got, tt.want)
		}
	}
}
