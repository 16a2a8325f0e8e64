// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"slices"

	"elsa/internal/rules"
	"elsa/internal/tally"
	"elsa/pkg/groups"
)

// unseen is what rules could not look at, or cannot yet.
type unseen struct {
	// late are processes to which rules are applied once they can be looked at.
	late late
	// unruled are those that no rule could look at: their lines will tell their commands.
	unruled map[groups.Key]struct{}
	misses  misses
}

// misses are the processes that rules could not look at, by the group of the first
// rule that could not. It is not reset with the rules: counters do not fall.
type misses map[string]uint64

// What is no rule's group: no name has a parenthesis.
const (
	anyRule   = "(any)"   // none of the rules could look at it
	otherRule = "(other)" // there are maxMissed others
)

// maxMissed bounds the rules that are told apart.
const maxMissed = 100

// add counts a process that a rule could not look at, or with nil none could.
func (m misses) add(r *rules.Rule) {
	name := anyRule
	if r != nil {
		name = r.Group
	}
	if _, known := m[name]; !known && len(m) >= maxMissed {
		name = otherRule
	}
	m[name]++
}

// list returns them in order of their names.
func (m misses) list() []tally.Named {
	list := make([]tally.Named, 0, len(m))
	for name, n := range m {
		list = append(list, tally.Named{Name: name, Count: n})
	}
	slices.SortFunc(list, func(a, b tally.Named) int { return cmp.Compare(a.Name, b.Name) })
	return list
}
