// SPDX-License-Identifier: Apache-2.0

package api

import (
	"strings"

	"elsa/internal/rules"
	"elsa/pkg/groups"
)

// Selection are the groups that a reader asks for by names. A name may be a pattern,
// in which * stands for any text and ? for one character, or, with a slash at its end,
// a parent: all groups whose names begin so, as one.
type Selection struct {
	// Groups are the indexes of the groups that were named or matched, each once, in
	// the order asked for.
	Groups []int
	// Parents are those that were asked for.
	Parents []Parent
}

// Parent is a parent with the indexes of its groups.
type Parent struct {
	Name   string
	Groups []int
}

// IsPlain reports whether a name in a question stands for the group of that name
// alone.
func IsPlain(name string) bool { return !groups.IsPattern(name) && !groups.IsParent(name) }

// maxSelect bounds the names in a question, each of which is matched with all groups
// if it is a pattern.
const maxSelect = 100

func checkSelect(names []string) error {
	wide := 0
	for _, name := range names {
		if !IsPlain(name) {
			wide++
		}
		if err := groups.CheckPattern(name); err != nil {
			return BadRequest("%v", err)
		}
	}
	if wide > maxSelect {
		return BadRequest("bad query: %d patterns and parents; use at most %d", wide, maxSelect)
	}
	return nil
}

// Select finds the groups that names stand for among n of which name tells the names.
// Where a name stands for none the error is a 404 [Error].
func Select(names []string, n int, name func(int) string) (Selection, error) {
	var s Selection
	byName := make(map[string]int, n)
	for i := range n {
		byName[name(i)] = i
	}
	seen, parents := map[int]bool{}, map[string]bool{}
	add := func(i int) {
		if !seen[i] {
			seen[i] = true
			s.Groups = append(s.Groups, i)
		}
	}
	for _, want := range names {
		switch i, found := byName[want]; {
		case groups.IsParent(want):
			p := Parent{Name: want, Groups: matching(n, func(i int) bool { return strings.HasPrefix(name(i), want) })}
			if p.Groups == nil {
				return s, NotFound("no group's name begins with %s", want)
			}
			if !parents[want] {
				parents[want] = true
				s.Parents = append(s.Parents, p)
			}
		case groups.IsPattern(want):
			list := matching(n, func(i int) bool { return rules.Glob(want, name(i)) })
			if list == nil {
				return s, NotFound("no group's name matches %s", want)
			}
			for _, i := range list {
				add(i)
			}
		case !found:
			return s, NoSuchGroup(want)
		default:
			add(i)
		}
	}
	return s, nil
}

// matching are those of n of which ok is true.
func matching(n int, ok func(int) bool) (list []int) {
	for i := range n {
		if ok(i) {
			list = append(list, i)
		}
	}
	return list
}
