// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"fmt"
	"math"
	"strings"

	"go.yaml.in/yaml/v3"

	"elsa/internal/mapping"
	"elsa/pkg/groups"
)

// A rule that no process can ever match is an error: who wrote it meant something
// else. What a process may come to have one day (a user that is not known yet, a
// group that is to be made) is none.

const (
	// maxFile is NAME_MAX of include/uapi/linux/limits.h.
	maxFile = 255
	// maxPath is PATH_MAX of include/uapi/linux/limits.h.
	maxPath = 4096
)

// checkPatterns refuses what no process has.
func checkPatterns(n *yaml.Node, key string, ps []pattern) error {
	for _, p := range ps {
		text := strings.ReplaceAll(string(p), "*", "") // the least that matches
		size, first := len(text), byte(p[0])
		wild := first == '*' || first == '?'
		never := func(format string, args ...any) error {
			return mapping.ErrorAt(n, "%s %q can never match: %s", key, string(p), fmt.Sprintf(format, args...))
		}
		switch key {
		case "command":
			if size > maxFile || strings.Contains(text, "/") && size > maxCommand {
				return never("it is the name of a file, without a path; use executable")
			}
		case "executable":
			if !wild && first != '/' {
				return never("it is a path that begins with /; use \"*/%s\"", strings.TrimLeft(string(p), "./"))
			}
			if size > maxPath {
				return never("a path has %d bytes at most", maxPath)
			}
		case "cgroup":
			if !wild && first != '/' {
				return never("it is a path that begins with /; use \"/%s\"", string(p))
			}
		case "user", "unix-group":
			digits := p.plain() && strings.Trim(string(p), "0123456789") == ""
			if id, ok := p.number(); digits && (!ok || id == math.MaxUint32) {
				return never("ids go up to %d", uint32(math.MaxUint32-1))
			}
			if strings.ContainsAny(text, ":\n") {
				return never("no name has a colon or a new line")
			}
		case "parent":
			if text = strings.ReplaceAll(text, "?", "x"); text != "" {
				if err := groups.CheckName(text); err != nil {
					return never("no group has such a name: %v", err)
				}
			}
		}
	}
	return nil
}

// checkVariable refuses a name that no environment variable has.
func checkVariable(n *yaml.Node, name string) error {
	if name == "" || strings.ContainsAny(name, "=\x00") {
		return mapping.ErrorAt(n, "env %q can never match: no variable has such a name", name)
	}
	return nil
}

// checkShadows refuses a rule behind one that takes all that it would, where the first
// that matches counts.
func (s *Set) checkShadows() error {
	if s.Mode == All {
		return nil
	}
	for i := range s.Rules {
		for j := range s.Rules[:i] {
			if s.Rules[j].takes(&s.Rules[i]) {
				return fmt.Errorf("line %d: the rule for group %s can never match: the one in line %d takes all that it would; put it before that, or use match: all",
					s.Rules[i].Line, s.Rules[i].Group, s.Rules[j].Line)
			}
		}
	}
	return nil
}

// takes reports whether a rule matches whatever the other does. A template may make no
// name, if it has no text of its own; then the other is asked.
func (r *Rule) takes(other *Rule) bool {
	if r.name != nil && strings.Trim(string(r.shape), "*") == "" {
		return false
	}
	for i := range r.conditions {
		if c := &r.conditions[i]; !c.always() && !other.implies(c) {
			return false
		}
	}
	return true
}

// always tells that every process fulfils the condition.
func (c *condition) always() bool {
	switch c.key {
	case "env", "parent": // it may have none
		return false
	}
	if len(c.not) > 0 {
		return false
	}
	for _, p := range c.want {
		if strings.Trim(string(p), "*") == "" {
			return true
		}
	}
	return false
}

// implies reports whether who fulfils the rule fulfils the condition too.
func (r *Rule) implies(c *condition) bool {
	for i := range r.conditions {
		if o := &r.conditions[i]; o.key == c.key && o.variable == c.variable && o.within(c) {
			return true
		}
	}
	return false
}

// within reports whether whatever matches the condition matches another. A number and a
// name may be those of one user, which is not known here.
func (c *condition) within(other *condition) bool {
	if len(other.not) > 0 {
		return false // what it leaves out may be what c takes
	}
	for _, p := range c.want {
		covered := false
		for _, q := range other.want {
			covered = covered || q.covers(p)
		}
		if !covered {
			return false
		}
	}
	return true
}

// covers reports whether whatever q matches, p does.
func (p pattern) covers(q pattern) bool {
	// A * of q is matched by a * of p alone. So as a text of its own, in which * is a
	// letter that nothing else matches, it says what any text would.
	return p.matchBy(string(q), func(p, c byte) bool { return c != '*' && (p == '?' || p == c) })
}
