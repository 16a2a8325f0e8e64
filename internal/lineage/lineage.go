// SPDX-License-Identifier: Apache-2.0

// Package lineage remembers why processes are in their groups: who put which
// process in one, and the ancestors that ended since and have descendants.
// It does no I/O, reads no clock and takes no locks: one goroutine owns it.
package lineage

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// Origin is a process that was put in a group, not born in it.
type Origin struct {
	// Seq orders the origins of a group.
	Seq   uint64
	Group uint32
	Key   groups.Key
	// BootID is the boot the process belongs to.
	BootID string
	Time   time.Time
	// UID asked for it; Rule is the line of the rule that did, zero for none.
	UID  uint32
	Rule int `json:",omitempty"`
	// Command is what the process was called then.
	Command string
}

// Ancestor is a process that ended and may have descendants.
type Ancestor struct {
	Key  groups.Key
	PPID int32
	Exit clock.Boot // rounded as by clock.Rounding
	Comm [16]byte
}

// Bounds of a book.
const (
	// MaxOrigins is how many origins of one group are kept, the latest.
	MaxOrigins = 256
	// MaxAncestors is how many ancestors are kept at most. When there are more,
	// those without heirs go first, then the oldest.
	MaxAncestors = 1 << 14
)

// Book is what is remembered. The zero value is not ready; use New.
type Book struct {
	origins map[uint32][]Origin // by group, in order
	seq     uint64
	put     map[uint64]Origin // to store, by Seq
	del     map[uint64]Origin // to forget

	putting, deleting map[uint64]Origin // as the last Flush told

	first map[int32]int32 // pid → the latest of its nodes
	nodes []node
	free  int32
	count int
	// forked has a bit for every pid: whether it may have forked. Most processes
	// do not, and need not be remembered.
	forked []uint64
	mark   func(func(groups.Life)) // calls for every heir
}

type node struct {
	Ancestor
	next   int32
	marked bool
}

const none = -1

// New returns an empty book. heirs calls its argument for every process whose ancestors
// are to be kept.
func New(heirs func(func(groups.Life))) *Book {
	return &Book{
		origins: map[uint32][]Origin{}, put: map[uint64]Origin{}, del: map[uint64]Origin{},
		first: map[int32]int32{}, free: none, mark: heirs,
	}
}

// Add remembers that a process was put in a group.
func (b *Book) Add(o Origin) {
	b.seq++
	o.Seq = b.seq
	list := b.origins[o.Group]
	if len(list) >= MaxOrigins {
		b.forget(list[0])
		list = slices.Delete(list, 0, 1)
	}
	b.origins[o.Group] = append(list, o)
	b.put[o.Seq] = o
}

// forget has an origin deleted, if it was ever told to be stored.
func (b *Book) forget(o Origin) {
	if _, untold := b.put[o.Seq]; untold {
		delete(b.put, o.Seq)
	} else {
		b.del[o.Seq] = o
	}
}

// Restore puts back an origin that was stored.
func (b *Book) Restore(o Origin) {
	b.seq = max(b.seq, o.Seq)
	list := append(b.origins[o.Group], o)
	slices.SortFunc(list, func(x, y Origin) int { return cmp.Compare(x.Seq, y.Seq) })
	b.origins[o.Group] = list
}

// DropGroup forgets the origins of a group.
func (b *Book) DropGroup(group uint32) {
	for _, o := range b.origins[group] {
		b.forget(o)
	}
	delete(b.origins, group)
}

// MergeGroup makes the origins of group from those of group into, as its latest.
func (b *Book) MergeGroup(from, into uint32) {
	for _, o := range b.origins[from] {
		b.forget(o)
		o.Group = into
		b.Add(o)
	}
	delete(b.origins, from)
}

// DropBoot forgets what is of other boots than the given one.
func (b *Book) DropBoot(boot string) {
	for g, list := range b.origins {
		b.origins[g] = slices.DeleteFunc(list, func(o Origin) bool {
			if o.BootID != boot {
				b.forget(o)
			}
			return o.BootID != boot
		})
	}
}

// Changed reports whether Flush has anything to tell.
func (b *Book) Changed() bool { return len(b.put)+len(b.del) > 0 }

// Flush tells what to store and to forget since the last Flush. Done or Failed must
// follow before the next one.
func (b *Book) Flush(put, del func(Origin)) {
	b.putting, b.put = b.put, map[uint64]Origin{}
	b.deleting, b.del = b.del, map[uint64]Origin{}
	for _, seq := range slices.Sorted(maps.Keys(b.putting)) {
		put(b.putting[seq])
	}
	for _, seq := range slices.Sorted(maps.Keys(b.deleting)) {
		del(b.deleting[seq])
	}
}

// Done says that what Flush told is stored.
func (b *Book) Done() { b.putting, b.deleting = nil, nil }

// Failed says that it is not known whether what Flush told is stored: it is told
// again, but for what was forgotten since.
func (b *Book) Failed() {
	for seq, o := range b.putting {
		if _, gone := b.del[seq]; !gone {
			b.put[seq] = o
		}
	}
	maps.Copy(b.del, b.deleting)
	b.Done()
}

// Origins are those of a group, the earliest first. It must not be changed.
func (b *Book) Origins(group uint32) []Origin { return b.origins[group] }

// Origin returns the latest origin of a process in a group.
func (b *Book) Origin(group uint32, k groups.Key) (Origin, bool) {
	list := b.origins[group]
	for i := len(list) - 1; i >= 0; i-- {
		if o := &list[i]; o.Key.PID == k.PID && o.Key.Start.Same(k.Start) {
			return *o, true
		}
	}
	return Origin{}, false
}

// Fork says that parent made child, so that parent may have to be remembered.
func (b *Book) Fork(parent, child int32) {
	b.HasChild(parent)
	if i := int(child >> 6); child >= 0 && i < len(b.forked) {
		b.forked[i] &^= 1 << (child & 63)
	}
}

// HasChild says that pid has children.
func (b *Book) HasChild(pid int32) {
	if pid < 0 || pid > maxPID {
		return
	}
	i := int(pid >> 6)
	if i >= len(b.forked) {
		b.forked = append(b.forked, make([]uint64, i+1-len(b.forked))...)
	}
	b.forked[i] |= 1 << (pid & 63)
}

// maxPID is the kernel's PID_MAX_LIMIT on 64-bit machines.
const maxPID = 1 << 22

// Forked reports whether pid may have forked.
func (b *Book) Forked(pid int32) bool {
	i := int(pid >> 6)
	return pid >= 0 && i < len(b.forked) && b.forked[i]>>(pid&63)&1 != 0
}

// AddAncestor remembers a process that ended. The time is what a later look for it by
// Parent goes by.
func (b *Book) AddAncestor(a Ancestor) {
	if b.count >= MaxAncestors {
		b.sweep()
	}
	i := b.free
	if i == none {
		i = int32(len(b.nodes))
		b.nodes = append(b.nodes, node{})
	} else {
		b.free = b.nodes[i].next
	}
	next, ok := b.first[a.Key.PID]
	if !ok {
		next = none
	}
	b.nodes[i] = node{Ancestor: a, next: next}
	b.first[a.Key.PID] = i
	b.count++
}

// Parent returns the dead process pid that may have forked one that began at child.
func (b *Book) Parent(pid int32, child clock.Start) (Ancestor, bool) {
	if i := b.find(pid, child); i != none {
		return b.nodes[i].Ancestor, true
	}
	return Ancestor{}, false
}

func (b *Book) find(pid int32, child clock.Start) int32 {
	i, ok := b.first[pid]
	if !ok {
		return none
	}
	for ; i != none; i = b.nodes[i].next {
		if n := &b.nodes[i]; n.Key.Start.MayForkBefore(n.Exit, child) {
			return i
		}
	}
	return none
}

// sweep forgets the ancestors of nobody that lives, and when that leaves more
// than three quarters of the room taken, the oldest of the others.
func (b *Book) sweep() {
	b.mark(func(l groups.Life) {
		pid, child := l.PPID, l.Start
		for i := b.find(pid, child); i != none && !b.nodes[i].marked; i = b.find(pid, child) {
			n := &b.nodes[i]
			n.marked = true
			pid, child = n.PPID, n.Key.Start
		}
	})
	var keep []Ancestor
	for _, i := range b.first {
		for ; i != none; i = b.nodes[i].next {
			if b.nodes[i].marked {
				keep = append(keep, b.nodes[i].Ancestor)
			}
		}
	}
	b.reset(keep)
}

func (b *Book) reset(keep []Ancestor) {
	slices.SortFunc(keep, func(x, y Ancestor) int { return cmp.Compare(x.Exit, y.Exit) })
	if n := len(keep) - MaxAncestors*3/4; n > 0 {
		keep = keep[n:]
	}
	b.nodes, b.free, b.count = b.nodes[:0], none, 0
	clear(b.first)
	for _, a := range keep {
		b.AddAncestor(a)
	}
}

// Ancestors returns those with heirs, to be stored at the end.
func (b *Book) Ancestors() (all []Ancestor) {
	b.sweep()
	for i := range b.nodes {
		all = append(all, b.nodes[i].Ancestor)
	}
	return all
}
