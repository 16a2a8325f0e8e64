// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"slices"
	"strconv"
	"time"

	"elsa/internal/query"
)

// match is a query made ready to be asked of batches.
type match struct {
	q     *query.Query
	uid   int64 // of the user, if it is a number; else -1
	since int64
	until int64
	tree  *tree
	where *where
	found []int32
}

// newMatch makes ready what needs no look at the archive and cannot fail; the rest is
// [Scanner.ready]'s.
func newMatch(q *query.Query) *match {
	m := &match{q: q, uid: -1}
	if n, err := strconv.ParseUint(q.User, 10, 32); err == nil {
		m.uid = int64(n)
	}
	if !q.Since.IsZero() {
		m.since = q.Since.UnixNano()
	}
	if !q.Until.IsZero() {
		m.until = q.Until.UnixNano()
	}
	return m
}

// find returns the rows that match, ascending; valid until the next call. It reads
// only the columns that it needs, those that leave the fewest rows first.
func (m *match) find(b *batch, owner *uint32) ([]int32, error) {
	m.found = m.found[:0]
	for i := range b.n {
		m.found = append(m.found, int32(i))
	}
	q := m.q
	type test struct {
		on   bool
		cs   []Column
		keep func(i int32) bool
	}
	command, user := hits{c: Command, want: q.Command}, hits{c: UserName, want: q.User}
	group := hits{c: Groups, want: q.Group}
	for _, t := range []test{
		{owner != nil, []Column{UID}, func(i int32) bool { return b.ints[UID][i] == int64(*owner) }},
		{q.Group != "", []Column{Groups}, func(i int32) bool {
			for _, code := range b.groupsOf(i) {
				if group.has(b, code) {
					return true
				}
			}
			return false
		}},
		{q.PID != 0, []Column{PID}, func(i int32) bool { return b.ints[PID][i] == int64(q.PID) }},
		{q.Command != "", []Column{Command}, func(i int32) bool { return command.has(b, b.codes[Command][i]) }},
		{q.User != "", []Column{UserName, UID}, func(i int32) bool {
			return user.has(b, b.codes[UserName][i]) || b.ints[UID][i] == m.uid
		}},
		{q.Exit != "", []Column{Status}, func(i int32) bool { return exited(q.Exit, b.ints[Status][i]) }},
		{m.since != 0, []Column{Ended}, func(i int32) bool { return b.ints[Ended][i] >= m.since }},
		{m.until != 0, []Column{Ended}, func(i int32) bool { return b.ints[Ended][i] < m.until }},
		{m.tree != nil, []Column{PID, Started}, func(i int32) bool { return m.tree.has(b.ints[PID][i], b.ints[Started][i]) }},
	} {
		if !t.on || len(m.found) == 0 {
			continue
		}
		if err := b.need(t.cs...); err != nil {
			return nil, err
		}
		n := 0
		for _, i := range m.found {
			if t.keep(i) {
				m.found[n] = i
				n++
			}
		}
		m.found = m.found[:n]
	}
	err := m.holds(b)
	return m.found, err
}

// holds leaves those for which the expression holds.
func (m *match) holds(b *batch) error {
	if m.where == nil || len(m.found) == 0 {
		return nil
	}
	if err := b.need(append(m.where.columns, PID)...); err != nil {
		return err
	}
	m.found = slices.DeleteFunc(m.found, func(i int32) bool { return !m.where.holds(b, i) })
	if m.where.err != nil {
		return &sinkError{m.where.err}
	}
	return nil
}

// hits tells which places of a column's texts are the wanted one: looked up once a batch.
type hits struct {
	c    Column
	want string
	at   int32 // the place and one more; -1: none
}

func (h *hits) has(b *batch, code int32) bool {
	if h.at == 0 {
		h.at = -1
		for i, s := range b.texts[h.c] {
			if s == h.want {
				h.at = int32(i) + 1
			}
		}
	}
	return code+1 == h.at
}

// exited tells whether a status is of a kind. One that is not known is of none.
func exited(kind string, status int64) bool {
	switch {
	case status < 0:
		return false
	case kind == "signal":
		return status&0x7f != 0
	case kind == "nonzero":
		return status&0x7f == 0 && status>>8&0xff != 0
	}
	return status&0x7f == 0 && status>>8&0xff == 0
}

// tree is a process and its descendants, as far as they were found.
type tree struct {
	lives map[int32][]life
}

// life is a process of a tree: when it began, 0 for any of its pid, and up to when it is
// known to have lived.
type life struct{ started, ended int64 }

// near is by how much the start of a process may differ in its own row and in those of
// its children: the wall clock was set meanwhile. A pid is not used again as soon.
const near = int64(time.Second)

func (t *tree) has(pid, start int64) bool { return t.find(pid, start) != nil }

func (t *tree) find(pid, start int64) *life {
	list := t.lives[int32(pid)]
	for i := range list {
		if s := list[i].started; s == 0 || start-s < near && s-start < near {
			return &list[i]
		}
	}
	return nil
}

// forked reports whether a process of the tree is the parent that a row names. Where its
// start is not known, it is the one that had the pid when the child began.
func (t *tree) forked(pid, start, child int64) bool {
	if start != 0 {
		return t.has(pid, start)
	}
	for _, l := range t.lives[int32(pid)] {
		if l.started == 0 || l.started-near < child && child < l.ended+near {
			return true
		}
	}
	return false
}

// add adds a process, or how long it lived, and reports whether it was not known.
func (t *tree) add(pid, start, ended int64) bool {
	if l := t.find(pid, start); l != nil {
		more := l.started != 0 && ended > l.ended
		if more {
			l.ended = ended
		}
		return more
	}
	t.lives[int32(pid)] = append(t.lives[int32(pid)], life{start, ended})
	return true
}

// maxTree bounds the processes of a tree.
const maxTree = 1 << 20

// findTree finds the descendants of the root of a query: each look at the archive finds
// the children of those known before.
func (x *Scanner) findTree(q *query.Query, m *match) error {
	pid, started, err := q.Root()
	if err != nil || pid == 0 {
		return err
	}
	t := &tree{lives: map[int32][]life{}}
	root := int64(0) // any
	if !started.IsZero() {
		root = started.UnixNano()
	}
	t.lives[pid] = []life{{root, root}}
	for _, p := range x.Living {
		t.add(int64(p.PID), p.Started.UnixNano(), time.Now().Add(24*time.Hour).UnixNano())
	}
	grow := &growing{tree: t, size: 1}
	every := newMatch(&query.Query{Since: q.Since})
	damage, progress := x.Damage, x.Progress
	for grow.more = true; grow.more && grow.size < maxTree; {
		grow.more = false
		if err := x.scan(&query.Query{Since: q.Since}, every, grow); err != nil {
			return err
		}
		x.Damage = func(error) {} // told once
	}
	x.Damage, x.Progress = damage, progress
	m.tree = t
	return nil
}

// growing adds the children of a tree to it.
type growing struct {
	tree *tree
	size int
	more bool
}

func (g *growing) take(b *batch, found []int32) error {
	if err := b.need(PID, Started, PPID, ParentStarted, Ended); err != nil {
		return err
	}
	for k := len(found) - 1; k >= 0 && g.size < maxTree; k-- { // parents end after their children
		i := found[k]
		pid, started := b.ints[PID][i], b.ints[Started][i]
		known := g.tree.has(pid, started)
		if !known && !g.tree.forked(b.ints[PPID][i], b.ints[ParentStarted][i], started) {
			continue
		}
		if g.tree.add(pid, started, b.ints[Ended][i]) {
			g.more = true
			if !known {
				g.size++
			}
		}
	}
	return nil
}
