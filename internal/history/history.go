// SPDX-License-Identifier: Apache-2.0

// Package history adds up what processes used by hour, groups, user and command, and
// makes reports of that. It does no I/O and reads no clock.
package history

import (
	"maps"
	"slices"

	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// Key names a cell in the database. It holds the groups themselves, not a set's
// number: a group that is deleted is no longer in any report, and nothing has
// to be rewritten for it.
type Key struct {
	Hour uint32 // since 1970
	UID  uint32
	// Groups are the ids of the groups, ascending; none: ungrouped.
	Groups       []uint32
	Unattributed bool
	Command      string
	// Filled: the first of Groups took the processes after they had ended; those after
	// it, ascending, had them before. They are in a cell that is not Filled, too.
	Filled bool
}

// In tells whether the processes of a cell count for groups that has holds for, if what
// is in several of these counts once. A cell that is Filled counts only where none of
// the others counts: there another cell has the processes.
func (k *Key) In(has func(group uint32) bool) bool {
	if !k.Filled {
		return slices.ContainsFunc(k.Groups, has)
	}
	return len(k.Groups) > 0 && has(k.Groups[0]) && !slices.ContainsFunc(k.Groups[1:], has)
}

// Other is the command of the deaths of an hour that had too many commands.
const Other = "(other)"

var otherComm = comm(Other)

func comm(s string) (c [16]byte) { copy(c[:], s); return c }

// Rolls are the cells in use. Roll finds one and Flush hands out what changed;
// one goroutine owns it.
type Rolls struct {
	// Sets tells the groups of a set.
	Sets *groups.Sets
	// Commands bounds the commands told apart within an hour; the rest of the
	// hour's deaths are in one cell per user and set, [Other].
	Commands int
	// Known returns the commands of an hour that are in the database.
	Known func(hour uint32) []string

	// Oversized counts what was billed to sets of more than [groups.MaxGroups]
	// groups, which is in no group's history but in [Other] of the unattributed.
	Oversized uint64

	cells   map[usage.Cell]*cell
	changed []*cell // since the last Flush
	sent    []*cell // by it
	hours   map[uint32]map[[16]byte]struct{}
	latest  uint32                    // hour written
	swept   uint32                    // hour of the last sweep
	lists   map[groups.SetID][]uint32 // as they were when first seen

	filled, filling []filled // since the last Flush, and told by it
}

// filled is what is added to a cell that is Filled.
type filled struct {
	key   Key
	usage usage.Usage
}

// Fill adds to a cell that is Filled. The key is kept.
func (r *Rolls) Fill(k Key, u *usage.Usage) { r.filled = append(r.filled, filled{k, *u}) }

// cell is what was found since the last Flush, and what that told.
type cell struct {
	Key
	fresh, sent  usage.Usage
	queued, away bool // in changed, in sent
}

// New returns empty rolls.
func New(sets *groups.Sets, commands int) *Rolls {
	return &Rolls{
		Sets: sets, Commands: commands, cells: map[usage.Cell]*cell{},
		hours: map[uint32]map[[16]byte]struct{}{}, lists: map[groups.SetID][]uint32{},
		Known: func(uint32) []string { return nil },
	}
}

// Roll returns what was found of a cell since the last Flush, to add to. A
// cell of one command too many becomes the hour's [Other], and one of too many
// groups that of the unattributed: its key would be longer than a database takes.
func (r *Rolls) Roll(c *usage.Cell) *usage.Usage {
	e := r.cells[*c]
	if e == nil {
		if len(r.groups(c.Set)) > groups.MaxGroups {
			c.Set, c.Comm = groups.Unattributed, otherComm
			r.Oversized++
		} else if !r.admit(c.Hour, c.Comm) {
			c.Comm = otherComm
		}
		if e = r.cells[*c]; e == nil {
			e = r.open(c)
		}
	}
	if !e.queued {
		e.queued = true
		r.changed = append(r.changed, e)
	}
	return &e.fresh
}

// open makes a cell.
func (r *Rolls) open(c *usage.Cell) *cell {
	e := &cell{Key: r.key(c)}
	r.cells[*c] = e
	return e
}

func (r *Rolls) key(c *usage.Cell) Key {
	n := slices.Index(c.Comm[:], 0)
	if n < 0 {
		n = len(c.Comm)
	}
	return Key{
		Hour: c.Hour, UID: c.UID, Command: string(c.Comm[:n]),
		Groups: r.groups(c.Set), Unattributed: c.Set == groups.Unattributed,
	}
}

// groups are those of a set when it was first seen: the set of a death that is
// corrected may have been retired meanwhile, and its cell must be the same.
func (r *Rolls) groups(set groups.SetID) []uint32 {
	list, ok := r.lists[set]
	if !ok {
		list = slices.Clone(r.Sets.Groups(set))
		r.lists[set] = list
	}
	return list
}

// Cell is what was used of a key.
type Cell struct {
	Key   Key
	Usage usage.Usage
}

// KeyOf is the key of what will be put in a cell if that happens next. Roll decides
// then; until the commands of the hour are asked for, none is taken for one too many.
func (r *Rolls) KeyOf(c usage.Cell) Key {
	if len(r.groups(c.Set)) > groups.MaxGroups {
		c.Set, c.Comm = groups.Unattributed, otherComm
	} else if named(c.Comm) && !r.fits(r.hours[c.Hour], c.Comm) {
		c.Comm = otherComm
	}
	return r.key(&c)
}

// GroupsOf are the groups of a set as its cells have them. They must not be changed.
func (r *Rolls) GroupsOf(set groups.SetID) []uint32 { return r.groups(set) }

// Retire says that a set is about to lose its groups. What its processes used until
// now may still be put on its bill.
func (r *Rolls) Retire(set groups.SetID) { r.groups(set) }

// admit reports whether a command has, or gets, a place among those of the hour.
func (r *Rolls) admit(hour uint32, c [16]byte) bool {
	if !named(c) {
		return true
	}
	known := r.hours[hour]
	if known == nil {
		known = map[[16]byte]struct{}{}
		for _, name := range r.Known(hour) {
			known[comm(name)] = struct{}{}
		}
		r.hours[hour] = known
	}
	if !r.fits(known, c) {
		return false
	}
	known[c] = struct{}{}
	return true
}

// named reports whether a command is one, and takes a place among those of its hour.
func named(c [16]byte) bool { return c != otherComm && c != usage.Unknown }

// fits reports whether a command is among those of an hour, or there is room for it.
func (r *Rolls) fits(known map[[16]byte]struct{}, c [16]byte) bool {
	_, ok := known[c]
	return ok || len(known) < r.Commands
}

// Changed reports whether Flush has anything to write.
func (r *Rolls) Changed() bool { return len(r.changed)+len(r.filled) > 0 }

// Flush tells what was added to each cell since the last Flush. Done or Failed must
// follow before the next one; what is added meanwhile is told then.
func (r *Rolls) Flush(add func(*Key, *usage.Usage)) {
	r.changed, r.sent = r.sent[:0], r.changed
	for _, e := range r.sent {
		e.sent, e.fresh, e.queued, e.away = e.fresh, usage.Usage{}, false, true
		add(&e.Key, &e.sent)
		r.latest = max(r.latest, e.Hour)
	}
	r.filled, r.filling = nil, r.filled
	for i := range r.filling {
		add(&r.filling[i].key, &r.filling[i].usage)
	}
}

// Failed says that what Flush told is not stored: it is told again.
func (r *Rolls) Failed() {
	r.filled, r.filling = append(r.filling, r.filled...), nil
	for _, e := range r.sent {
		e.fresh.Add(&e.sent)
		e.away = false
		if !e.queued {
			e.queued = true
			r.changed = append(r.changed, e)
		}
	}
	r.sent = r.sent[:0]
}

// maxCells bounds the cells that are kept for their next change.
const maxCells = 1 << 14

// Done says that what Flush told is stored. Cells of earlier hours are let go.
func (r *Rolls) Done() {
	r.filling = nil
	for _, e := range r.sent {
		e.away = false
	}
	r.sent = r.sent[:0]
	if r.latest == r.swept && len(r.cells) <= maxCells {
		return
	}
	r.swept = r.latest
	for c, e := range r.cells {
		if (c.Hour < r.latest || len(r.cells) > maxCells) && !e.queued {
			delete(r.cells, c)
		}
	}
	for h := range r.hours {
		if h+1 < r.latest {
			delete(r.hours, h)
		}
	}
}

// Remember notes the groups of a set, for a cell that may be asked for when the set
// is no more: that of a death which waits since an earlier run.
func (r *Rolls) Remember(set groups.SetID) { r.groups(set) }

// Len counts the cells in memory.
func (r *Rolls) Len() int { return len(r.cells) }

// MarkSets marks the sets of cells that are not written yet.
func (r *Rolls) MarkSets(used *groups.InUse) {
	for c, e := range r.cells {
		if e.queued || e.away {
			used.Mark(c.Set)
		}
	}
}

// Reclaim lets go of the cells of sets that are not in use: the database has them.
func (r *Rolls) Reclaim(used *groups.InUse) {
	maps.DeleteFunc(r.cells, func(c usage.Cell, _ *cell) bool { return !used.Has(c.Set) })
	maps.DeleteFunc(r.lists, func(set groups.SetID, _ []uint32) bool { return !used.Has(set) })
}
