// SPDX-License-Identifier: Apache-2.0

package usage

import "elsa/pkg/acct"

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
	at   int64 // when it came, ns CLOCK_BOOTTIME
	next int32
}

const none = -1

func newHeld() held { return held{head: map[int32]int32{}, free: none} }

func (h *held) put(r *acct.Record, at int64) {
	i := h.free
	if i == none {
		i = int32(len(h.nodes))
		h.nodes = append(h.nodes, node{})
	} else {
		h.free = h.nodes[i].next
	}
	h.nodes[i] = node{rec: *r, at: at, next: none}
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

// take removes the oldest record of pid that fits and copies it to r.
func (h *held) take(pid int32, r *acct.Record, fits func(*acct.Record) bool) bool {
	i, ok := h.head[pid]
	if !ok {
		return false
	}
	for prev := int32(none); i != none; prev, i = i, h.nodes[i].next {
		if n := &h.nodes[i]; fits(&n.rec) {
			*r = n.rec
			h.unlink(pid, prev, i)
			return true
		}
	}
	return false
}

// expire removes every record that came before the given time and hands it to f.
func (h *held) expire(before int64, f func(*acct.Record)) {
	for pid, i := range h.head {
		for prev := int32(none); i != none; {
			n := &h.nodes[i]
			next := n.next
			if n.at < before {
				f(&n.rec)
				h.unlink(pid, prev, i)
			} else {
				prev = i
			}
			i = next
		}
	}
	if h.count == 0 && len(h.nodes) > 1<<14 {
		*h = newHeld() // give a storm's memory back
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
	h.nodes[i] = node{next: h.free}
	h.free = i
	h.count--
}
