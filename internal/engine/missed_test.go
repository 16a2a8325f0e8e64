// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"testing"

	"elsa/internal/rules"
	"elsa/internal/tally"
)

// What rules could not see is told by rule, of a bounded number of them, and adds up to
// the counter.
func TestMissedByRule(t *testing.T) {
	e := &Engine{unseen: unseen{misses: misses{anyRule: 0}}}
	e.missed(nil)
	for i := range 3 * maxMissed {
		e.missed(&rules.Rule{Group: fmt.Sprintf("g%03d", i%(2*maxMissed))})
	}
	list, sum := e.unseen.misses.list(), uint64(0)
	of := map[string]uint64{}
	for _, m := range list {
		sum += m.Count
		of[m.Name] = m.Count
	}
	if sum != e.counts[tally.RulesLate] || sum != 3*maxMissed+1 {
		t.Errorf("%d by rule, %d in all; want %d", sum, e.counts[tally.RulesLate], 3*maxMissed+1)
	}
	if len(list) != maxMissed+1 || of[anyRule] != 1 || of["g000"] != 2 || of[otherRule] == 0 {
		t.Errorf("%d rules are told apart: %v", len(list), of)
	}
}
