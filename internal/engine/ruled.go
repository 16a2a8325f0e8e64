// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"elsa/internal/rules"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// ruled is what the rules in force have come to.
type ruled struct {
	// made counts the groups of each rule that can make more than one; nil until it
	// is asked for.
	made map[*rules.Rule]int
	// told are the rules of which a refusal was told, errs those not told yet.
	told map[*rules.Rule]bool
	errs []error
	// full says until when a rule has no group that could make room for another.
	full map[*rules.Rule]clock.Boot
	// due are the processes that they are yet to be applied to.
	due due
	// unnamed are live processes for which rules asked for a name that is not known yet.
	unnamed map[groups.Key]executed
}

// maxWaiting bounds the processes that wait for names.
const maxWaiting = 1 << 14

// await keeps a process until names are known, and reports whether there was room.
func (r *ruled) await(k groups.Key, x executed) bool {
	if len(r.unnamed) >= maxWaiting {
		return false
	}
	if r.unnamed == nil {
		r.unnamed = map[groups.Key]executed{}
	}
	r.unnamed[k] = x
	return true
}
