// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
)

// span is a process, or a part of its life, as a trace draws it.
type span struct {
	started, ended, parentStarted int64
	cpuUser, cpuSystem            int64
	order                         int64 // of those that are the most, the most are drawn
	seq                           uint64
	command                       string
	source                        int32 // place in the sources
	pid, ppid                     int32
	part                          uint32

	// What layOut finds: places of the parent, or -1, of the family and of the track; and
	// whether the span is of a process of which a longer one is there.
	parent, family, track int32
	within                bool
}

// family are spans that descend from one that is drawn, or from the same one that is not.
type family struct {
	root  int32 // the first of its spans
	roots int   // spans whose parent is not drawn
	busy  queue // its tracks that have a span, by when that ends
	free  queue // and those that have none, by their place
}

// track is a line of spans one after the other, each with its descendants in it.
type track struct {
	family, first int32
	open          []int32 // each in the one before
}

// picture is how spans are drawn.
type picture struct {
	spans    []span // by their start
	families []family
	tracks   []track
}

// layOut puts spans on tracks: a process in its parent, if it began and ended within it
// and no sibling is there, else on the first track of its family that is free. So of two
// spans on a track one is over before the other begins, or is an ancestor of the other
// that began before it and ends no earlier.
func layOut(spans []span) *picture {
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.started, b.started), cmp.Compare(b.ended, a.ended), cmp.Compare(a.source, b.source), cmp.Compare(a.seq, b.seq))
	})
	p := &picture{spans: spans}
	p.findParents()
	p.findFamilies()
	for i := range spans {
		p.place(int32(i))
	}
	return p
}

// findParents looks parents up by pid and start.
func (p *picture) findParents() {
	index := make([]int32, len(p.spans))
	for i := range index {
		index[i] = int32(i)
	}
	slices.SortFunc(index, func(i, k int32) int {
		a, b := &p.spans[i], &p.spans[k]
		return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.pid, b.pid), cmp.Compare(a.started, b.started), cmp.Compare(i, k))
	})
	// each calls f for the spans of a pid that began at about a time.
	each := func(source, pid int32, from, to int64, f func(k int32)) {
		at, _ := slices.BinarySearchFunc(index, from, func(k int32, from int64) int {
			s := &p.spans[k]
			return cmp.Or(cmp.Compare(s.source, source), cmp.Compare(s.pid, pid), cmp.Compare(s.started, from))
		})
		for ; at < len(index); at++ {
			s := &p.spans[index[at]]
			if s.source != source || s.pid != pid || s.started > to {
				return
			}
			f(index[at])
		}
	}
	for i := range p.spans {
		s := &p.spans[i]
		s.parent = -1
		// The longest span of its life, or of its parent's, is its parent. One that comes
		// later in order is none.
		longest := func(k int32) {
			if k < int32(i) && (s.parent < 0 || p.spans[k].ended > p.spans[s.parent].ended) {
				s.parent = k
			}
		}
		each(s.source, s.pid, s.started-near+1, s.started, func(k int32) {
			if p.spans[k].ended >= s.ended {
				longest(k)
			}
		})
		if s.within = s.parent >= 0; s.within || s.ppid == 0 {
			continue
		}
		if s.parentStarted != 0 {
			each(s.source, s.ppid, s.parentStarted-near+1, s.parentStarted+near-1, longest)
		} else {
			each(s.source, s.ppid, math.MinInt64, s.started, func(k int32) {
				if p.spans[k].ended+near > s.started {
					longest(k)
				}
			})
		}
	}
}

// findFamilies tells families apart.
func (p *picture) findFamilies() {
	type outside struct {
		source, pid int32
		started     int64
	}
	of := map[outside]int32{}
	for i := range p.spans {
		s := &p.spans[i]
		if s.parent >= 0 {
			s.family = p.spans[s.parent].family
			continue
		}
		parent := outside{s.source, s.ppid, s.parentStarted}
		f, known := of[parent]
		if !known {
			f = int32(len(p.families))
			of[parent] = f
			p.families = append(p.families, family{root: int32(i)})
		}
		s.family = f
		p.families[f].roots++
	}
}

// place finds the track of a span. Those that began before it have theirs.
func (p *picture) place(i int32) {
	s := &p.spans[i]
	f := &p.families[s.family]
	for len(f.busy) > 0 && f.busy[0].key <= s.started {
		t := heap.Pop(&f.busy).(queued).track
		p.tracks[t].open = p.tracks[t].open[:0]
		heap.Push(&f.free, queued{int64(t), t})
	}
	if s.parent >= 0 && p.nests(i) {
		return
	}
	if len(f.free) > 0 {
		s.track = heap.Pop(&f.free).(queued).track
	} else {
		s.track = int32(len(p.tracks))
		p.tracks = append(p.tracks, track{family: s.family, first: i})
	}
	heap.Push(&f.busy, queued{s.ended, s.track})
	p.tracks[s.track].open = append(p.tracks[s.track].open, i)
}

// nests puts a span in that of its parent, if there is room.
func (p *picture) nests(i int32) bool {
	s := &p.spans[i]
	parent := &p.spans[s.parent]
	t := &p.tracks[parent.track]
	for n := len(t.open); n > 0 && p.spans[t.open[n-1]].ended <= s.started; n-- {
		t.open = t.open[:n-1]
	}
	n := len(t.open)
	if n == 0 || t.open[n-1] != s.parent || s.started <= parent.started || s.ended > parent.ended {
		return false
	}
	t.open = append(t.open, i)
	s.track = parent.track
	return true
}

// queue is a heap of tracks, the least first.
type queue []queued

type queued struct {
	key   int64
	track int32
}

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, k int) bool { return q[i].key < q[k].key }
func (q queue) Swap(i, k int)      { q[i], q[k] = q[k], q[i] }
func (q *queue) Push(t any)        { *q = append(*q, t.(queued)) }
func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}
