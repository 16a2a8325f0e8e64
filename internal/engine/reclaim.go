// SPDX-License-Identifier: Apache-2.0

package engine

// reclaimCost is how many steps of a look at all there is are worth one set that
// can have fallen out of use: less than a microsecond.
const reclaimCost = 64

// reclaim lets go of sets that nothing refers to, for their ids to name others, so
// that what is kept follows what lives. It must be called after a transaction that
// succeeded. A member or death that is stored may name a set that is let go, if it was
// changed since Save: then the next transaction, which forgets the set, puts it anew.
// A Placing, which has ids of its own, lives only while lines are joined.
func (e *Engine) reclaim() {
	sets := e.tracker.Sets
	steps := e.tracker.Processes() + e.tracker.Awaiting() + e.join.Waiting() + e.history.rolls.Len() + sets.Len()
	if sets.Turnover()*reclaimCost < steps {
		return
	}
	used := &e.inUse
	used.Clear()
	e.tracker.MarkSets(used)
	e.join.PassOnPeaks(sets, used)
	e.join.MarkSets(used)
	e.history.rolls.MarkSets(used)
	e.tracker.Reclaim(used)
	e.join.Reclaim(used, sets.Len())
	e.history.rolls.Reclaim(used)
	if e.rows != nil {
		clear(e.rows.sets)
	}
}
