// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"math"
	"time"

	"elsa/pkg/acct"
	"elsa/pkg/clock"
)

// held keeps taskstats and exact records until their ledger line is read, in
// order of arrival by pid. Nodes are reused: no allocation per record.
type held struct {
	head  map[int32]int32 // pid → first node
	nodes []node
	free  int32 // first free node, or none
	count int
}

type node struct {
	rec  acct.Record
	at   clock.Boot // when it came
	next int32
}

const none = -1

func newHeld() held { return held{head: map[int32]int32{}, free: none} }

func (h *held) put(r *acct.Record, at clock.Boot) {
	i := h.free
	if i == none {
		i = int32(len(h.nodes))
		h.nodes = append(h.nodes, node{})
	} else {
		h.free = h.nodes[i].next
	}
	n := &h.nodes[i]
	n.rec, n.at, n.next = *r, at, none
	h.count++
	first, ok := h.head[r.PID]
	if !ok {
		h.head[r.PID] = i
		return
	}
	for h.nodes[first].next != none {
		first = h.nodes[first].next
	}
	h.nodes[first].next = i
}

// take removes the record of pid that fits best and returns it, or nil. It is
// valid until the next put. fits says by how much a record is off, negative if
// it does not fit; of those that are off alike, the oldest is taken.
func (h *held) take(pid int32, fits func(r *acct.Record, came clock.Boot) time.Duration) *acct.Record {
	i, ok := h.head[pid]
	if !ok {
		return nil
	}
	best, before, least := int32(none), int32(none), time.Duration(math.MaxInt64)
	for prev := int32(none); i != none; prev, i = i, h.nodes[i].next {
		n := &h.nodes[i]
		if off := fits(&n.rec, n.at); off >= 0 && off < least {
			best, before, least = i, prev, off
		}
	}
	if best == none {
		return nil
	}
	h.unlink(pid, before, best)
	return &h.nodes[best].rec
}

// each calls f for the records of pid.
func (h *held) each(pid int32, f func(r *acct.Record)) {
	i, ok := h.head[pid]
	for ok && i != none {
		f(&h.nodes[i].rec)
		i = h.nodes[i].next
	}
}

// slept makes all records so much younger.
func (h *held) slept(d time.Duration, now clock.Boot) {
	for _, i := range h.head {
		for ; i != none; i = h.nodes[i].next {
			h.nodes[i].at = min(h.nodes[i].at.Add(d), now)
		}
	}
}

// old appends to late every record that came before the given time.
func (h *held) old(before clock.Boot, late []acct.Record) []acct.Record {
	for _, i := range h.head {
		for ; i != none; i = h.nodes[i].next {
			if n := &h.nodes[i]; n.at < before {
				late = append(late, n.rec)
			}
		}
	}
	return late
}

// expire removes every record that came before the given time, and counts them.
func (h *held) expire(before clock.Boot) (expired uint64) {
	for pid, i := range h.head {
		for prev := int32(none); i != none; {
			n := &h.nodes[i]
			next := n.next
			if n.at < before {
				expired++
				h.unlink(pid, prev, i)
			} else {
				prev = i
			}
			i = next
		}
	}
	return expired
}

// rest gives a storm's memory back.
func (h *held) rest() {
	if h.count == 0 && len(h.nodes) > 1<<13 {
		*h = newHeld()
	}
}

func (h *held) unlink(pid, prev, i int32) {
	next := h.nodes[i].next
	switch {
	case prev != none:
		h.nodes[prev].next = next
	case next != none:
		h.head[pid] = next
	default:
		delete(h.head, pid)
	}
	h.nodes[i].next = h.free
	h.free = i
	h.count--
}

// EachHeld calls f for every precise record that waits for its line.
func (j *Join) EachHeld(f func(*acct.Record)) {
	for _, i := range j.precise.head {
		for ; i != none; i = j.precise.nodes[i].next {
			f(&j.precise.nodes[i].rec)
		}
	}
}

// Held counts the precise records that wait for their line.
func (j *Join) Held() int { return j.precise.count }
