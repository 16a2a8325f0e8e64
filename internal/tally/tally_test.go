// SPDX-License-Identifier: Apache-2.0

package tally

import (
	"strings"
	"testing"
)

// Every counter shows everywhere, and no two at the same place.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for c := range Counters {
		i := c.Info()
		if i.Section == "" || i.Name == "" || i.Family == nil || i.Line == "" || i.One == "" || i.Many == "" {
			t.Errorf("counter %d (%s) does not show everywhere: %+v", c, i.Name, *i)
			continue
		}
		for _, place := range []string{
			"member " + string(i.Section) + "." + i.Name, "series " + i.Family.Name + "{" + i.Value + "}", "status " + i.Line + ": " + i.Many,
		} {
			if seen[place] {
				t.Errorf("two counters are at %s", place)
			}
			seen[place] = true
		}
		if (i.Value == "") != (i.Family.Label == "") {
			t.Errorf("%s: label %q has the value %q", i.Name, i.Family.Label, i.Value)
		}
		if !strings.HasPrefix(i.Family.Name, "elsa_") || !strings.HasSuffix(i.Family.Name, "_total") || i.Family.Help == "" {
			t.Errorf("%s: metric %+v", i.Name, *i.Family)
		}
	}
}

func TestAdd(t *testing.T) {
	a, b := Counts{Forks: 1, RulesLate: 2}, Counts{Forks: 3, Exits: 4}
	a.Add(&b)
	if want := (Counts{Forks: 4, Exits: 4, RulesLate: 2}); a != want {
		t.Errorf("got %v, want %v", a, want)
	}
}
