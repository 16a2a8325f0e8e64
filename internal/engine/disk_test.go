// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"elsa/internal/fill"
	"elsa/internal/history"
	"elsa/internal/lineage"
	"elsa/internal/store"
	"elsa/pkg/acct"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// disk is a database in memory. What is put is kept as the real one keeps it, and a
// transaction happens as a whole or not at all.
type disk struct {
	meta      store.Meta
	groups    map[uint32]groups.Group
	sets      map[groups.SetID]store.Set
	members   map[groups.Key]store.Member
	deaths    []usage.OpenDeath
	held      []acct.Record
	origins   map[[2]uint64]lineage.Origin
	filled    map[string]usage.Filled
	taken     map[[2]uint32]fill.Taken
	ancestors []lineage.Ancestor
	cells     map[string]cell
	paper     paper // what was written
	safe      paper // and committed

	// Of the last transaction:
	applied, found   bool
	dropped, addedUp int
	next             uint32
}

// cell is one of the history.
type cell struct {
	history.Key
	usage usage.Usage
}

var errDisk = errors.New("the disk is full")

func newDisk() *disk {
	return &disk{
		meta: store.Meta{NextGroup: 1}, groups: map[uint32]groups.Group{}, sets: map[groups.SetID]store.Set{},
		members: map[groups.Key]store.Member{}, origins: map[[2]uint64]lineage.Origin{}, cells: map[string]cell{},
		filled: map[string]usage.Filled{}, taken: map[[2]uint32]fill.Taken{},
	}
}

// commit runs f in a transaction. One that is torn ends anywhere, and leaves no
// trace.
func (d *disk) commit(torn bool, f func(Tx)) error {
	next := d.clone()
	next.deaths, next.applied, next.found = nil, false, false
	f(next)
	if torn {
		d.paper = next.paper
		return errDisk
	}
	next.applied, next.safe = true, next.paper
	*d = *next
	return nil
}

func (d *disk) clone() *disk {
	c := *d
	c.groups, c.sets, c.members = maps.Clone(d.groups), maps.Clone(d.sets), maps.Clone(d.members)
	c.origins, c.cells = maps.Clone(d.origins), maps.Clone(d.cells)
	c.filled, c.taken = maps.Clone(d.filled), maps.Clone(d.taken)
	return &c
}

// load reads all of it, in the order of the real one.
func (d *disk) load() *store.State {
	d.paper = d.safe
	st := &store.State{Meta: d.meta, Deaths: slices.Clone(d.deaths), Held: slices.Clone(d.held), Ancestors: slices.Clone(d.ancestors)}
	st.Groups = slices.SortedFunc(maps.Values(d.groups), func(a, b groups.Group) int { return cmp.Compare(a.ID, b.ID) })
	st.Sets = slices.SortedFunc(maps.Values(d.sets), func(a, b store.Set) int { return cmp.Compare(a.ID, b.ID) })
	st.Members = slices.SortedFunc(maps.Values(d.members), func(a, b store.Member) int {
		return cmp.Or(cmp.Compare(a.Life.PID, b.Life.PID), cmp.Compare(a.Life.Start, b.Life.Start))
	})
	st.Origins = slices.SortedFunc(maps.Values(d.origins), func(a, b lineage.Origin) int { return cmp.Compare(a.Seq, b.Seq) })
	st.Filled = slices.Collect(maps.Values(d.filled))
	st.Taken = slices.SortedFunc(maps.Values(d.taken), func(a, b fill.Taken) int { return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.N, b.N)) })
	return st
}

func (d *disk) Clear() {
	clear(d.groups)
	clear(d.sets)
	clear(d.members)
	clear(d.filled)
	clear(d.taken)
}

func (d *disk) Meta(m store.Meta)         { d.meta = m }
func (d *disk) PutGroup(g groups.Group)   { d.groups[g.ID] = g }
func (d *disk) DeleteGroup(id uint32)     { delete(d.groups, id) }
func (d *disk) Held(rs []acct.Record)     { d.held = rs }
func (d *disk) DeleteMember(k groups.Key) { delete(d.members, k) }

func (d *disk) PutSet(id groups.SetID, gs []uint32, u *usage.Usage) {
	if len(gs) == 0 && id > groups.Unattributed {
		delete(d.sets, id)
		return
	}
	d.sets[id] = store.Set{ID: id, Groups: slices.Clone(gs), Usage: *u}
}

func (d *disk) PutMember(l groups.Life, a usage.Account) {
	d.members[l.Key()] = store.Member{Account: a, Life: groups.Life{
		PID: l.PID, Start: l.Start, PPID: l.PPID, Set: l.Set, Exit: l.Exit, Inferred: l.Inferred, Unproven: l.Unproven, HasAccount: l.HasAccount,
	}}
}

func (d *disk) PutDeath(o usage.OpenDeath) {
	o.Cell.Set = o.Set
	d.deaths = append(d.deaths, o)
}

func (d *disk) PutOrigin(o lineage.Origin)        { d.origins[[2]uint64{uint64(o.Group), o.Seq}] = o }
func (d *disk) DeleteOrigin(o lineage.Origin)     { delete(d.origins, [2]uint64{uint64(o.Group), o.Seq}) }
func (d *disk) PutAncestors(a []lineage.Ancestor) { d.ancestors = a }

func filledName(p *usage.Filled) string { return fmt.Sprint(p.Group, p.Others) }

func (d *disk) PutFilled(p *usage.Filled)    { d.filled[filledName(p)] = *p }
func (d *disk) DeleteFilled(p *usage.Filled) { delete(d.filled, filledName(p)) }
func (d *disk) PutTaken(t *fill.Taken)       { d.taken[[2]uint32{t.Group, t.N}] = *t }
func (d *disk) DeleteTaken(group, n uint32)  { delete(d.taken, [2]uint32{group, n}) }

func cellName(k *history.Key) string {
	return fmt.Sprint(k.Hour, k.UID, k.Groups, k.Unattributed, k.Command, k.Filled)
}

func (d *disk) AddCell(k *history.Key, u *usage.Usage) {
	sum := d.cells[cellName(k)].usage
	sum.Add(u)
	key := *k
	key.Groups = slices.Clone(k.Groups)
	d.cells[cellName(k)] = cell{key, sum}
}

// hours are the cells of hours from first to before last.
func (d *disk) hours(first, last uint32) []cell {
	var found []cell
	for _, c := range d.cells {
		if c.Hour >= first && c.Hour < last {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b cell) int {
		return cmp.Or(cmp.Compare(a.Hour, b.Hour), cmp.Compare(cellName(&a.Key), cellName(&b.Key)))
	})
	return found
}

func (d *disk) DropHistory(before uint32, most int) {
	old := d.hours(0, before)
	old = old[:min(len(old), most)]
	for _, c := range old {
		delete(d.cells, cellName(&c.Key))
	}
	d.dropped = len(old)
}

func (d *disk) FindHour(from uint32) {
	later := d.hours(from, 1<<32-1)
	if d.found = len(later) > 0; d.found {
		d.next = later[0].Hour
	}
}

func (d *disk) AddUp(first, last uint32, most int) {
	cells := d.hours(first+1, last)
	cells = cells[:min(len(cells), most)]
	for _, c := range cells {
		delete(d.cells, cellName(&c.Key))
		c.Hour = first
		d.AddCell(&c.Key, &c.usage)
	}
	d.addedUp = len(cells)
}

func (d *disk) Applied() bool        { return d.applied }
func (d *disk) Dropped() int         { return d.dropped }
func (d *disk) AddedUp() int         { return d.addedUp }
func (d *disk) Hour() (uint32, bool) { return d.next, d.found }
