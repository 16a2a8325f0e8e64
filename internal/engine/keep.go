// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"elsa/internal/tally"
	"elsa/pkg/groups"
)

// ErrMerged means that too many groups were merged into one.
var ErrMerged = fmt.Errorf("a group takes up at most %d others", groups.MaxAbsorbed)

// errRuleLabel means that a rule's mark on its group was to be changed.
var errRuleLabel = errors.New("label " + ruleLabel + " is the mark of the rule that made the group; leave it")

// RenameGroup gives a group another name; its bill, members and history stay. For a
// user who is no admin, and for a group that is not root's, a name that a rule could
// make is ErrReserved. The error wraps that or [groups.ErrExists].
func (e *Engine) RenameGroup(g *groups.Group, name string, admin bool) error {
	if e.Reserves(name) && (!admin || g.Owner != 0) {
		e.options.Refused.Add(tally.ReservedNames)
		return fmt.Errorf("rename group %s to %s: %w", g.Name, name, ErrReserved)
	}
	old := g.Name
	if err := e.catalog.Rename(g, name); err != nil {
		return err
	}
	e.renamed(g, old)
	e.ruled.made = nil // to be counted again
	if e.rows != nil {
		clear(e.rows.sets) // rows have the name
	}
	return nil
}

// ReopenGroup opens a closed group: it takes new members again. A temporary one ends
// again some time after its last process.
func (e *Engine) ReopenGroup(g *groups.Group, now Now) {
	g.Closed, g.Lapsed = time.Time{}, false
	if g.Temporary {
		e.calendar.made[g.ID] = now.Boot
	}
	e.catalog.Touch(g)
}

// RelabelGroup gives a group other labels. The labels of a user who is no admin are
// bounded: the error wraps ErrQuota.
func (e *Engine) RelabelGroup(g *groups.Group, labels map[string]string, admin bool) error {
	if ofRule(g) && labels[ruleLabel] != g.Labels[ruleLabel] {
		return fmt.Errorf("label group %s: %w", g.Name, errRuleLabel)
	}
	more := groups.LabelBytes(labels) - groups.LabelBytes(g.Labels)
	if !admin && more > 0 && e.catalog.Owned(g.Owner).Labels+more > maxOwnedLabels {
		e.options.Refused.Add(tally.UserGroups)
		return fmt.Errorf("label group %s: the labels of all groups of uid %d may have %d bytes; %w", g.Name, g.Owner, maxOwnedLabels, ErrQuota)
	}
	e.catalog.Relabel(g, labels)
	return nil
}

// MergeGroup puts all that from has, its members, bill, history and origins, in the
// group into, and deletes from. Who was in both counts once. No bill falls, and no
// total changes. The error wraps ErrMerged.
func (e *Engine) MergeGroup(from, into *groups.Group) error {
	absorbed := append(append(slices.Clone(into.Absorbed), from.Absorbed...), from.ID)
	if len(absorbed) > groups.MaxAbsorbed {
		return fmt.Errorf("merge group %s into %s: %w", from.Name, into.Name, ErrMerged)
	}
	slices.Sort(absorbed)
	e.retire(from)
	e.join.Merge(e.tracker.MergeGroup(from.ID, into.ID), groups.Ungrouped) // none is left without a group
	e.lineage.MergeGroup(from.ID, into.ID)
	e.fills.MergeGroup(from.ID, into.ID)
	e.takeNames(from, into)
	e.forget(from)
	into.Absorbed = absorbed
	if from.Created.Before(into.Created) {
		into.Created = from.Created
	}
	if into.User != nil && (from.User == nil || *from.User != *into.User) {
		into.User = nil // others' processes are in it now
	}
	e.catalog.Touch(into)
	return nil
}
