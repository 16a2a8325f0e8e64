// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"strings"
	"text/template"
	syntax "text/template/parse"

	"elsa/pkg/groups"
)

// Reserves returns the first rule that could put a process in a group of this
// name, nil if none could. Such a name is root's: who has a group sees its
// members' commands and may delete its bill.
//
// A template is taken for what may come of its text: each action in it may become
// any text. One that has no text of its own reserves every name.
func (s *Set) Reserves(name string) *Rule {
	for i := range s.Rules {
		if r := &s.Rules[i]; r.makes(name) {
			return r
		}
	}
	return nil
}

// makes reports whether the rule could name a group so.
func (r *Rule) makes(name string) bool {
	if r.name == nil {
		return r.Group == name
	}
	if r.shape.match(name) {
		return true
	}
	// A name that was too long was cut, and has a hash where the text went on.
	if len(name) != groups.MaxName {
		return false
	}
	head, _, _ := strings.Cut(string(r.shape), "*")
	kept := name[:groups.MaxName-hashLen]
	return strings.HasPrefix(kept, head) || strings.HasPrefix(head, kept)
}

// Templated reports whether the rule may name more than one group.
func (r *Rule) Templated() bool { return r.name != nil }

// shapeOf is the pattern of the names that a template can make.
func shapeOf(t *template.Template) pattern {
	var b strings.Builder
	for _, n := range t.Root.Nodes {
		if text, ok := n.(*syntax.TextNode); ok {
			b.WriteString(clean(string(text.Text)))
		} else {
			b.WriteByte('*')
		}
	}
	return pattern(b.String())
}

// clean replaces what a group's name may not hold.
func clean(name string) string {
	return strings.Map(func(c rune) rune {
		if groups.CheckName(string(c)) == nil {
			return c
		}
		return '_'
	}, name)
}
