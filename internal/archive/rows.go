// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"cmp"
	"container/heap"
	"slices"

	"elsa/internal/query"
)

// taken is a row that was found, as a record.
type taken struct {
	record
	status uint32
	order  int64
	nth    uint64 // in the order of the archive
}

// each hands records to f, in the order of the archive.
type each struct {
	f    func(*record) error
	left int // -1: no bound
	rec  taken
}

func (s *each) take(b *batch, found []int32) error {
	if err := b.need(everything...); err != nil {
		return err
	}
	for _, i := range found {
		if s.left == 0 {
			return nil
		}
		s.left--
		b.record(i, &s.rec)
		if err := s.f(&s.rec.record); err != nil {
			return &sinkError{err}
		}
	}
	return nil
}

// everything is all columns.
var everything = func() (cs []Column) {
	for c := range columns {
		cs = append(cs, c)
	}
	return cs
}()

// top keeps the rows that are the most.
type top struct {
	most  int
	order [][2]Column
	list  least
	nth   uint64
}

func newTop(q *query.Query) *top {
	n := q.Top
	if n == 0 {
		n = query.DefaultTop
	}
	return &top{most: n, order: orderOf(q)}
}

func (s *top) take(b *batch, found []int32) error {
	for _, c := range s.order[0] {
		if c != Inferred {
			if err := b.need(c); err != nil {
				return err
			}
		}
	}
	for _, i := range found {
		v := b.ints[s.order[0][0]][i]
		if c := s.order[0][1]; c != Inferred {
			v += b.ints[c][i]
		}
		s.nth++
		if len(s.list) == s.most && v <= s.list[0].order {
			continue
		}
		if err := b.need(everything...); err != nil {
			return err
		}
		t := &taken{order: v, nth: s.nth}
		b.record(i, t)
		s.push(t)
	}
	return nil
}

// push puts a row on the heap, in the place of the least if it is full.
func (s *top) push(t *taken) {
	if len(s.list) < s.most {
		heap.Push(&s.list, t)
		return
	}
	s.list[0] = t
	heap.Fix(&s.list, 0)
}

// least is a heap of rows, the least first; of those that are alike the last found.
type least []*taken

func (l least) Len() int { return len(l) }
func (l least) Less(i, k int) bool {
	return cmp.Or(cmp.Compare(l[i].order, l[k].order), cmp.Compare(l[k].nth, l[i].nth)) < 0
}
func (l least) Swap(i, k int) { l[i], l[k] = l[k], l[i] }
func (l *least) Push(t any)   { *l = append(*l, t.(*taken)) }
func (l *least) Pop() any     { panic("archive: no row is taken off the heap") }

// sorted are the rows, the most first.
func (s *top) sorted() []*taken {
	slices.SortFunc(s.list, func(a, b *taken) int { return cmp.Or(cmp.Compare(b.order, a.order), cmp.Compare(a.nth, b.nth)) })
	return s.list
}

// record makes t the record of a row, all columns of which were read.
func (b *batch) record(i int32, t *taken) {
	u := func(c Column) uint64 { return uint64(b.ints[c][i]) }
	groups := make([]string, 0, 4)
	for _, g := range b.groupsOf(i) {
		groups = append(groups, b.texts[Groups][g])
	}
	t.record = record{
		Source: b.str(Source, i), Segment: u(SegmentNumber), Seq: u(Seq), Part: uint32(u(Part)), Host: b.str(Host, i), Boot: b.str(Boot, i),
		Ended: b.ints[Ended][i], Started: b.ints[Started][i], Elapsed: u(Elapsed), PID: int32(u(PID)), PPID: int32(u(PPID)),
		ParentStarted: b.ints[ParentStarted][i], Groups: groups, Unattributed: u(Unattributed) != 0, UID: uint32(u(UID)), GID: uint32(u(GID)),
		User: b.str(UserName, i), Command: b.str(Command, i), CPUUser: u(CPUUser), CPUSystem: u(CPUSystem), CPUDelay: u(CPUDelay),
		MinorFaults: u(MinorFaults), MajorFaults: u(MajorFaults), ReadBytes: u(ReadBytes), WriteBytes: u(WriteBytes),
		ReadChars: u(ReadChars), WriteChars: u(WriteChars), MaxRSS: u(MaxRSS), Voluntary: u(VoluntarySwitches),
		Involuntary: u(InvoluntarySwitches), Precision: b.str(Precision, i), Inferred: u(Inferred) != 0,
	}
	if s := b.ints[Status][i]; s >= 0 {
		t.status = uint32(s)
		t.Status = &t.status
	}
}
