// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"

	"elsa/internal/mapping"
	"elsa/pkg/groups"
)

// defaultLimit is how many groups a template may make unless the rule says more,
// which maxLimit bounds: part of its names may be for users to choose.
const (
	defaultLimit = 1000
	maxLimit     = 100000
)

// maxRules bounds what every exec is matched against.
const maxRules = 1000

// Parse reads rules from a node of a YAML document:
//
//	match: first          # or all
//	list:
//	  - group: ci/{{.User}}
//	    command: [make, ninja*]
//	    executable: /usr/bin/*
//	    user: [alice, "1000", "!bob"]
//	    unix-group: users
//	    cgroup: /system.slice/*
//	    parent: build
//	    args: "*--release*"
//	    env: {CI: "true", JOB: "*"}
//	    limit: 1000         # groups that a template may make
//
// An error names the line, as "line 4: …".
func Parse(n *yaml.Node) (*Set, error) {
	s := &Set{Mode: First}
	err := mapping.Each(n, func(k, v *yaml.Node) error {
		key := k.Value
		switch key {
		case "match":
			s.Mode = Mode(v.Value)
			if s.Mode != First && s.Mode != All {
				return mapping.ErrorAt(v, "bad match %q: use first or all", v.Value)
			}
		case "list":
			if v.Kind == yaml.ScalarNode && v.Tag == "!!null" {
				return nil // all of it is comments
			}
			if v.Kind != yaml.SequenceNode {
				return mapping.ErrorAt(v, "list is not a list of rules")
			}
			if len(v.Content) > maxRules {
				return mapping.ErrorAt(v, "%d rules: use at most %d", len(v.Content), maxRules)
			}
			for _, item := range v.Content {
				r, err := parseRule(item)
				if err != nil {
					return err
				}
				s.Rules = append(s.Rules, r)
			}
		default:
			return mapping.ErrorAt(v, "unknown key %q: use match and list", key)
		}
		return nil
	})
	if err == nil {
		err = s.checkShadows()
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// keys are the conditions, those that cost least to look at first.
var keys = []string{"command", "user", "unix-group", "parent", "executable", "cgroup", "args", "env"}

func parseRule(n *yaml.Node) (Rule, error) {
	r := Rule{Line: n.Line, Limit: defaultLimit}
	err := mapping.Each(n, func(k, v *yaml.Node) error {
		key := k.Value
		switch {
		case key == "group":
			return r.parseGroup(v)
		case key == "limit":
			var err error
			if r.Limit, err = strconv.Atoi(v.Value); err != nil || r.Limit < 1 || r.Limit > maxLimit {
				return mapping.ErrorAt(v, "bad limit %q: use 1 to %d groups", v.Value, maxLimit)
			}
			return nil
		case key == "env":
			return mapping.Each(v, func(k, value *yaml.Node) error {
				name := k.Value
				want, not, err := patterns(value)
				if err != nil {
					return err
				}
				if len(want) != 1 {
					return mapping.ErrorAt(value, "env %s needs one value; * stands for any", name)
				}
				r.conditions = append(r.conditions, condition{key, name, want, not})
				return checkVariable(value, name)
			})
		case slices.Contains(keys, key):
			want, not, err := patterns(v)
			r.conditions = append(r.conditions, condition{key: key, want: want, not: not})
			if err != nil {
				return err
			}
			return errors.Join(checkPatterns(v, key, want), checkPatterns(v, key, not))
		}
		return mapping.ErrorAt(v, "unknown condition %q: use %s", key, strings.Join(keys, ", "))
	})
	slices.SortStableFunc(r.conditions, func(a, b condition) int {
		return slices.Index(keys, a.key) - slices.Index(keys, b.key)
	})
	switch {
	case err != nil:
		return r, err
	case r.Group == "":
		return r, mapping.ErrorAt(n, "rule has no group")
	case len(r.conditions) == 0:
		return r, mapping.ErrorAt(n, "rule for group %s has no condition; to take every process say command: \"*\"", r.Group)
	}
	return r, nil
}

func (r *Rule) parseGroup(v *yaml.Node) error {
	r.Group = v.Value
	if !strings.Contains(v.Value, "{{") {
		if err := groups.CheckName(v.Value); err != nil {
			return mapping.ErrorAt(v, "%v", err)
		}
		return nil
	}
	t, err := template.New("group").Option("missingkey=error").Parse(v.Value)
	if err == nil {
		err = t.Execute(&strings.Builder{}, names{nobody{}})
	}
	if err != nil {
		return mapping.ErrorAt(v, "bad group template %q: %v", v.Value, strings.TrimPrefix(err.Error(), "template: "))
	}
	r.name, r.shape = t, shapeOf(t)
	return nil
}

// nobody is a process to try templates on.
type nobody struct{}

func (nobody) Command() string         { return "x" }
func (nobody) UID() uint32             { return 0 }
func (nobody) GID() uint32             { return 0 }
func (nobody) User() string            { return "x" }
func (nobody) UnixGroup() string       { return "x" }
func (nobody) IsUser(string) bool      { return false }
func (nobody) IsUnixGroup(string) bool { return false }
func (nobody) Executable() string      { return "/x" }
func (nobody) Cgroup() string          { return "/x" }
func (nobody) Args() string            { return "" }
func (nobody) Groups() []string        { return nil }
func (nobody) Unseen() bool            { return false }
func (nobody) Late() bool              { return false }
func (nobody) Pending() bool           { return false }
func (nobody) Env(string) []string     { return []string{"x"} }

// patterns reads one pattern or a list of them; not are those with a ! in front.
func patterns(n *yaml.Node) (want, not []pattern, err error) {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	for _, item := range items {
		text, without := strings.CutPrefix(item.Value, "!")
		if item.Kind != yaml.ScalarNode || text == "" {
			return nil, nil, mapping.ErrorAt(item, "need a text, or a list of texts")
		}
		if without {
			not = append(not, pattern(text))
		} else {
			want = append(want, pattern(text))
		}
	}
	switch {
	case len(items) == 0:
		return nil, nil, mapping.ErrorAt(n, "the list is empty")
	case len(want) == 0:
		return nil, nil, mapping.ErrorAt(n, "the list only leaves out; say what it takes, as in [\"*\", \"!%s\"]", not[0])
	}
	return want, not, nil
}
