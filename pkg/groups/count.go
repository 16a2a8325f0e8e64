// SPDX-License-Identifier: Apache-2.0

package groups

// Processes counts the live processes of all sets.
func (t *Tracker) Processes() int {
	n := 0
	for i := range t.sets {
		n += int(t.sets[i].live)
	}
	return n
}

// LiveIn counts the live processes of a set.
func (t *Tracker) LiveIn(set SetID) int {
	if int(set) >= len(t.sets) {
		return 0
	}
	return int(t.sets[set].live)
}

// Awaiting counts the dead whose record was not read yet.
func (t *Tracker) Awaiting() int { return t.awaiting }

// TakeStarts calls f for every set that processes came into since the last
// call, with their number: by fork, by being added or by late adoption.
func (t *Tracker) TakeStarts(f func(SetID, int64)) {
	for _, set := range t.begun {
		if n := t.sets[set].starts; n > 0 {
			t.sets[set].starts = 0
			f(set, n)
		}
	}
	t.begun = t.begun[:0]
}

// CountStranger counts a process that nobody knew into a set, before its death is
// charged there.
func (t *Tracker) CountStranger(set SetID) { t.start(set) }

// CountMoved counts a process whose death turned out to belong to another set than
// it was in.
func (t *Tracker) CountMoved(from, to SetID) {
	if from != to {
		t.restart(from, to)
	}
}

// enter counts a new live entry.
func (t *Tracker) enter(pid int32, e *entry) {
	t.start(e.set)
	t.count(e.set, +1)
	t.touch(pid, e)
}

func (t *Tracker) count(set SetID, d int32) { t.tally(set).live += d }

func (t *Tracker) start(set SetID) {
	s := t.tally(set)
	if s.starts == 0 {
		t.begun = append(t.begun, set)
	}
	s.starts++
}

// restart counts a process as started in another set. Where its start was taken
// already it stays: what was told does not fall.
func (t *Tracker) restart(from, to SetID) {
	if s := t.tally(from); s.starts > 0 {
		s.starts--
	}
	t.start(to)
}

func (t *Tracker) tally(set SetID) *tally {
	for int(set) >= len(t.sets) {
		t.sets = append(t.sets, tally{})
	}
	return &t.sets[set]
}
