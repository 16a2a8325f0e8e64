// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"encoding/binary"
	"slices"
)

// SetID names an interned membership set. A process carries one SetID; usage is
// kept per set. The id of a set that nothing refers to is given to another; see
// [Sets.Reclaim].
type SetID uint32

// MaxGroups is how many groups a process may be in. Whatever is kept of a set, in
// memory or as a key of the database, is bounded by it. A rule set has a handful
// of groups for a process: machine, user, service, job. A set of an early version's
// database may be larger, and can only shrink.
const MaxGroups = 64

const (
	// Ungrouped is the set of processes that are in no group.
	Ungrouped SetID = 0
	// Unattributed is the set of processes of which it cannot be proved what
	// groups they are in, because the event that would tell was lost.
	Unattributed SetID = 1

	firstSet SetID = 2
)

// Grouped reports whether processes of the set are in a group.
func (id SetID) Grouped() bool { return id > Unattributed }

// Sets interns membership sets: equal sets of groups get equal ids. The zero
// value is not ready; use NewSets. Not safe for concurrent use.
type Sets struct {
	groups   [][]uint32 // by SetID; sorted; nil for a retired or free id
	ids      map[string]SetID
	fresh    []SetID // made or retired since the last TakeFresh
	free     []SetID // ids for new sets, the lowest last
	turnover int     // sets made or retired since the last Reclaim
	key      []byte
}

// NewSets returns the two sets that always exist, Ungrouped and Unattributed.
func NewSets() *Sets {
	return &Sets{groups: make([][]uint32, firstSet), ids: map[string]SetID{"": Ungrouped}}
}

// Groups returns the ids of the groups of a set, ascending. The slice must not
// be changed.
func (s *Sets) Groups(id SetID) []uint32 {
	if int(id) >= len(s.groups) {
		return nil
	}
	return s.groups[id]
}

// Len is one more than the largest SetID in use.
func (s *Sets) Len() int { return len(s.groups) }

// Restore puts back a set that an earlier run interned, under the same id.
func (s *Sets) Restore(id SetID, groups []uint32) {
	for int(id) >= len(s.groups) {
		s.groups = append(s.groups, nil)
	}
	if id < firstSet {
		return
	}
	groups = slices.Sorted(slices.Values(groups))
	s.groups[id] = groups
	if len(groups) > 0 {
		s.ids[s.keyOf(groups)] = id
	}
}

// With returns the set that holds the groups of id and gid, or id itself when it is
// [Sets.Full]. A process of unproved membership that is put into a group is from
// then on in that group.
func (s *Sets) With(id SetID, gid uint32) SetID {
	have := s.Groups(id)
	at, ok := slices.BinarySearch(have, gid)
	if ok || len(have) >= MaxGroups {
		return id
	}
	return s.intern(slices.Insert(slices.Clone(have), at, gid))
}

// Without returns the set that holds the groups of id but gid.
func (s *Sets) Without(id SetID, gid uint32) SetID {
	have := s.Groups(id)
	at, ok := slices.BinarySearch(have, gid)
	if !ok {
		return id
	}
	return s.intern(slices.Delete(slices.Clone(have), at, at+1))
}

// Only returns the set that holds gid alone.
func (s *Sets) Only(gid uint32) SetID { return s.intern([]uint32{gid}) }

// Has reports whether gid is one of the groups of set id.
func (s *Sets) Has(id SetID, gid uint32) bool {
	_, ok := slices.BinarySearch(s.Groups(id), gid)
	return ok
}

// Full reports whether a set has MaxGroups groups and gid is none of them.
func (s *Sets) Full(id SetID, gid uint32) bool {
	return len(s.Groups(id)) >= MaxGroups && !s.Has(id, gid)
}

// DropGroup retires every set that holds gid and returns, for each of them, the
// set that takes its place. A retired set has no groups; its id names no other set
// before Reclaim.
func (s *Sets) DropGroup(gid uint32) map[SetID]SetID {
	return s.retire(gid, func(left []uint32) []uint32 { return left })
}

// MergeGroup is DropGroup, but who was in the group from is in the group into then.
func (s *Sets) MergeGroup(from, into uint32) map[SetID]SetID {
	return s.retire(from, func(left []uint32) []uint32 {
		at, ok := slices.BinarySearch(left, into)
		if ok {
			return left
		}
		return slices.Insert(left, at, into)
	})
}

// retire retires every set that holds gid for the one that to makes of its other
// groups.
func (s *Sets) retire(gid uint32, to func(left []uint32) []uint32) map[SetID]SetID {
	moved := map[SetID]SetID{}
	for id := firstSet; int(id) < len(s.groups); id++ {
		have := s.groups[id]
		if at, ok := slices.BinarySearch(have, gid); ok {
			moved[id] = s.intern(to(slices.Delete(slices.Clone(have), at, at+1)))
		}
	}
	for id := range moved {
		s.drop(id)
	}
	return moved
}

func (s *Sets) drop(id SetID) {
	delete(s.ids, s.keyOf(s.groups[id]))
	s.groups[id] = nil
	s.fresh = append(s.fresh, id)
	s.turnover++
}

// TakeFresh returns the sets made or retired since the last call. A retired set
// has no groups any more.
func (s *Sets) TakeFresh() []SetID {
	f := s.fresh
	s.fresh = nil
	return f
}

func (s *Sets) intern(groups []uint32) SetID {
	key := s.keyOf(groups)
	if id, ok := s.ids[key]; ok {
		return id
	}
	id := SetID(len(s.groups))
	if n := len(s.free); n > 0 {
		id, s.free = s.free[n-1], s.free[:n-1]
		s.groups[id] = groups
	} else {
		s.groups = append(s.groups, groups)
	}
	s.ids[key] = id
	s.fresh = append(s.fresh, id)
	s.turnover++
	return id
}

func (s *Sets) keyOf(groups []uint32) string {
	s.key = s.key[:0]
	for _, g := range groups {
		s.key = binary.BigEndian.AppendUint32(s.key, g)
	}
	return string(s.key)
}
