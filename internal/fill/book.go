// SPDX-License-Identifier: Apache-2.0

package fill

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// Bounds of a book, so that memory and database stay small.
const (
	// maxTaken is how many bytes the row numbers of all groups may have: some millions.
	maxTaken = 8 << 20
	// maxParts is how many parts there may be in all.
	maxParts = 1 << 16
	// MaxOthers is how many groups a row may be in already.
	MaxOthers = 2 * groups.MaxGroups
)

var (
	// ErrStale means that other rows were taken, or groups merged, since the version.
	ErrStale = errors.New("groups were filled or merged meanwhile")
	// ErrTaken means that the group has some of the rows already.
	ErrTaken = errors.New("the group has some of these rows already")
	// ErrFull means that there is no room for more.
	ErrFull = errors.New("groups have taken as many rows of the past as can be kept; delete some of the groups that were filled")
)

// Taken are rows that a group took at once.
type Taken struct {
	Group uint32
	// N numbers those of a group.
	N uint32
	Rows
}

// Cell is what rows of an hour, a user and a command used that were in the same groups.
type Cell struct {
	// Hour is in hours since 1970.
	Hour uint32
	// Others are the ids of the groups that had the rows before, ascending.
	Others  []uint32
	UID     uint32
	Command string
	Usage   usage.Usage
}

// Piece is what a group takes at once, all of it or nothing.
type Piece struct {
	// Version is that of the book by which Others were found.
	Version uint64
	Rows    []Rows
	Cells   []Cell
}

// Book is what all groups took of the past. One goroutine owns it.
type Book struct {
	version uint64
	parts   map[string]*usage.Filled // by partName
	taken   map[uint32][]Taken       // by group, in order of N
	bytes   int                      // of the numbers in taken

	changed  map[string]bool    // parts; those that are not there any more are to be deleted
	fresh    []Taken            // to be put
	dropped  map[[2]uint32]bool // group and N, to be deleted
	forgets  map[string]*usage.Filled
	numbered map[uint32]uint32 // the next N of a group
}

// New returns an empty book. Versions of one run differ from those of another.
func New(now time.Time) *Book {
	return &Book{
		version: uint64(max(now.UnixNano(), 1)), parts: map[string]*usage.Filled{}, taken: map[uint32][]Taken{}, changed: map[string]bool{},
		dropped: map[[2]uint32]bool{}, forgets: map[string]*usage.Filled{}, numbered: map[uint32]uint32{},
	}
}

func partName(group uint32, others []uint32) string { return fmt.Sprint(group, others) }

// Restore puts back a part and RestoreTaken rows that were stored.
func (b *Book) Restore(p usage.Filled) { b.parts[partName(p.Group, p.Others)] = &p }

// RestoreTaken puts back rows that a group took.
func (b *Book) RestoreTaken(t Taken) {
	b.taken[t.Group] = append(b.taken[t.Group], t)
	b.bytes += len(t.Runs)
	b.numbered[t.Group] = max(b.numbered[t.Group], t.N+1)
}

// Version names what the book holds.
func (b *Book) Version() uint64 { return b.version }

// Taken are the rows that a group took. They must not be changed.
func (b *Book) Taken(group uint32) []Taken { return b.taken[group] }

// Each calls f for every part, in no order.
func (b *Book) Each(f func(*usage.Filled)) {
	for _, p := range b.parts {
		f(p)
	}
}

// Add lets a group take a piece. The error is one of those above, or says what is wrong
// with the piece; then nothing is changed.
func (b *Book) Add(group uint32, piece *Piece) error {
	if piece.Version != b.version {
		return ErrStale
	}
	size := 0
	for i := range piece.Rows {
		r := &piece.Rows[i]
		size += len(r.Runs)
		for k := range piece.Rows[:i] {
			if r.Meets(&piece.Rows[k]) {
				return errors.New("a row is there twice")
			}
		}
		for k := range b.taken[group] {
			if r.Meets(&b.taken[group][k].Rows) {
				return ErrTaken
			}
		}
	}
	fresh := map[string]bool{}
	for i := range piece.Cells {
		c := &piece.Cells[i]
		if len(c.Others) > MaxOthers || slices.Contains(c.Others, group) || !slices.IsSorted(c.Others) {
			return errors.New("the other groups of a cell are too many, not in order, or the group itself")
		}
		if name := partName(group, c.Others); b.parts[name] == nil {
			fresh[name] = true
		}
	}
	if b.bytes+size > maxTaken || len(b.parts)+len(fresh) > maxParts {
		return ErrFull
	}
	for i := range piece.Cells {
		c := &piece.Cells[i]
		b.add(group, c.Others, &c.Usage)
	}
	for _, r := range piece.Rows {
		b.take(group, r)
	}
	b.version++
	return nil
}

func (b *Book) add(group uint32, others []uint32, u *usage.Usage) {
	name := partName(group, others)
	p := b.parts[name]
	if p == nil {
		p = &usage.Filled{Group: group, Others: slices.Clone(others)}
		b.parts[name] = p
	}
	p.Usage.Add(u)
	b.changed[name] = true
	delete(b.forgets, name)
}

func (b *Book) take(group uint32, r Rows) {
	t := Taken{Group: group, N: b.numbered[group], Rows: r}
	b.RestoreTaken(t)
	b.fresh = append(b.fresh, t)
}

// DropGroup forgets what a group took.
func (b *Book) DropGroup(group uint32) {
	for name, p := range b.parts {
		if p.Group == group {
			b.forget(name, p)
		}
	}
	b.dropTaken(group)
}

func (b *Book) forget(name string, p *usage.Filled) {
	delete(b.parts, name)
	delete(b.changed, name)
	b.forgets[name] = p
}

func (b *Book) dropTaken(group uint32) (rows []Taken) {
	rows = b.taken[group]
	for _, t := range rows {
		b.bytes -= len(t.Runs)
		b.dropped[[2]uint32{group, t.N}] = true
	}
	delete(b.taken, group)
	delete(b.numbered, group)
	b.fresh = slices.DeleteFunc(b.fresh, func(t Taken) bool { return t.Group == group })
	return rows
}

// MergeGroup puts what the group from took in the group into. What both had counts once:
// it is on the bill of the other already.
func (b *Book) MergeGroup(from, into uint32) {
	var touched []*usage.Filled
	for name, p := range b.parts {
		if p.Group == from || p.Group == into || slices.Contains(p.Others, from) {
			touched = append(touched, p)
			b.forget(name, p)
		}
	}
	for _, p := range touched {
		group, others := p.Group, slices.Clone(p.Others)
		if group == from {
			group = into
		}
		for i := range others {
			if others[i] == from {
				others[i] = into
			}
		}
		slices.Sort(others)
		if others = slices.Compact(others); !slices.Contains(others, group) {
			b.add(group, others, &p.Usage)
		}
	}
	for _, t := range b.dropTaken(from) {
		b.take(into, t.Rows)
	}
	b.version++
}

// TouchAll says that all must be put, because the store was emptied.
func (b *Book) TouchAll() {
	clear(b.dropped)
	clear(b.forgets)
	b.fresh = b.fresh[:0]
	for name := range b.parts {
		b.changed[name] = true
	}
	for _, list := range b.taken {
		b.fresh = append(b.fresh, list...)
	}
}

// Changed reports whether Flush has anything to tell.
func (b *Book) Changed() bool {
	return len(b.changed)+len(b.fresh)+len(b.dropped)+len(b.forgets) > 0
}

// Tx takes what a book holds.
type Tx interface {
	PutFilled(*usage.Filled)
	DeleteFilled(*usage.Filled)
	PutTaken(*Taken)
	DeleteTaken(group, n uint32)
}

// Flush puts what changed since the last Flush.
func (b *Book) Flush(tx Tx) {
	for _, p := range b.forgets {
		tx.DeleteFilled(p)
	}
	for k := range b.dropped {
		tx.DeleteTaken(k[0], k[1])
	}
	for name := range b.changed {
		tx.PutFilled(b.parts[name])
	}
	for i := range b.fresh {
		tx.PutTaken(&b.fresh[i])
	}
	clear(b.forgets)
	clear(b.dropped)
	clear(b.changed)
	b.fresh = nil
}
