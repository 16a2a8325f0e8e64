// SPDX-License-Identifier: Apache-2.0

package groups

import "elsa/pkg/clock"

// A source by BPF names processes by pid and start, both of the child and of the
// process that forked it, and tells the end of a process as a whole.

// ForkOf is Fork for a source that tells when the parent began: another life of its
// pid is not the parent. parent is the process that forked, whoever is made to wait
// for the child.
func (t *Tracker) ForkOf(parent Key, child int32, start clock.Start) {
	if e := t.born(parent, child, start, live); e != nil {
		t.enter(child, e)
	}
}

// End says that the last thread of process k exited.
func (t *Tracker) End(k Key, at clock.Boot) {
	e := t.table.get(k.PID)
	if e == nil || !e.start.Same(k.Start) {
		return
	}
	e.threads = 0
	e.flags |= leaderGone
	t.ended(k.PID, e, at)
}

// proves reports whether what a process inherits from parent holds also after loss:
// the parent is that very life, and its own place is known.
func (t *Tracker) proves(parent Key) bool {
	p := t.table.get(parent.PID)
	return parent.Start.Known() && p != nil && p.start == parent.Start && p.flags&(doubtful|unproven) == 0
}
