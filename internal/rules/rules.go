// SPDX-License-Identifier: Apache-2.0

// Package rules says which groups a process belongs to by what it is: its
// command, executable, user, control group, environment, or the groups it is in.
// It is pure: what it needs to know of a process comes in as [Facts].
package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"elsa/pkg/groups"
)

// Traits are what a process is, whatever groups it is in. They are asked for only
// as far as a rule needs them, since most cost a file of /proc each.
type Traits interface {
	Command() string   // comm, at most 15 bytes
	UID() uint32       // real user id
	GID() uint32       // real group id
	User() string      // its name, or the number
	UnixGroup() string // the same for the group id
	// IsUser and IsUnixGroup tell whether a name that is in rules is one of the ids.
	IsUser(name string) bool
	IsUnixGroup(name string) bool
	Executable() string       // path; empty when unknown
	Cgroup() string           // path in the unified or first hierarchy
	Args() string             // the arguments, with a space between two
	Env(name string) []string // the variable's values: none or one
	// Unseen reports whether, since the last call of Unseen, something was asked that
	// cannot be told, as the process is gone, busy, or of a name that is not known yet.
	// The answer means nothing then.
	Unseen() bool
	// Late reports whether, since the last call of Late, something was asked that will
	// be told later: new traits of the process will have it.
	Late() bool
	// Pending reports whether a name was asked for that is being looked up: new traits
	// will have it once it is known.
	Pending() bool
}

// Facts are all that a rule can ask of a process.
type Facts interface {
	Traits
	Groups() []string // groups the process is in
}

// Mode says how many rules may match a process.
type Mode string

const (
	First Mode = "first" // the first rule that matches
	All   Mode = "all"   // every rule that matches
)

// Set is a list of rules, ready to match. It is immutable and safe for
// concurrent use. The zero value matches nothing.
type Set struct {
	Mode  Mode
	Rules []Rule
}

// Rule puts the processes that fulfil all its conditions in a group. A
// condition that is not given is fulfilled.
type Rule struct {
	// Line is where the rule begins in its file.
	Line int
	// Group is the group's name, which may be a template.
	Group string
	// Limit is how many groups a template may make.
	Limit int

	conditions []condition
	name       *template.Template
	shape      pattern // of the names that it can make
}

// condition is fulfilled by a process of which one property matches a pattern, and none
// of those that leave out.
type condition struct {
	key      string // as in the file
	variable string // of env
	want     []pattern
	not      []pattern // of which none may match: written with a ! in front
}

// Match is the outcome of a rule.
type Match struct {
	Rule  *Rule
	Group string
}

// Match returns the groups that the process should be in. unseen tells that there
// may be more: it is the first rule that asked for what cannot be told, or not yet, or nil.
// Such a rule matches nothing, and where the first that matches counts, those after it
// do not either.
func (s *Set) Match(f Facts) (found []Match, unseen *Rule) {
	f.Unseen()
	for i := range s.Rules {
		r := &s.Rules[i]
		name := ""
		if r.fulfilled(f) {
			name = r.expand(f)
		}
		switch {
		case f.Unseen():
			if unseen == nil {
				unseen = r
			}
			if s.Mode != All {
				return found, unseen
			}
		case name != "":
			found = append(found, Match{r, name})
			if s.Mode != All {
				return found, unseen
			}
		}
	}
	return found, unseen
}

// String is for people: "line 12: group user/{{.User}}".
func (r *Rule) String() string { return fmt.Sprintf("line %d: group %s", r.Line, r.Group) }

// fulfilled asks first what is known of every process, so that what costs a look at
// it, and may come too late, is asked only where it decides.
func (r *Rule) fulfilled(f Facts) bool {
	for _, look := range [...]bool{false, true} {
		for i := range r.conditions {
			if c := &r.conditions[i]; c.looks() == look && !c.fulfilled(f) {
				return false
			}
		}
	}
	return true
}

// looks tells that the condition may take a look at the process.
func (c *condition) looks() bool {
	switch c.key {
	case "executable", "cgroup", "args", "env":
		return true
	case "command":
		return c.long()
	}
	return false
}

// long tells that the condition has a pattern which only names match that the kernel cuts.
func (c *condition) long() bool {
	return slices.ContainsFunc(c.want, pattern.long) || slices.ContainsFunc(c.not, pattern.long)
}

// maxCommand is the length of the longest command name that the kernel keeps, in
// TASK_COMM_LEN of include/linux/sched.h: it cuts others.
const maxCommand = 15

// long tells that only names match that the kernel cuts.
func (p pattern) long() bool { return len(p)-strings.Count(string(p), "*") > maxCommand }

func (c *condition) fulfilled(f Facts) bool {
	return c.matches(f, c.want) && (len(c.not) == 0 || !c.matches(f, c.not))
}

// matches reports whether the process has what one of the patterns is for.
func (c *condition) matches(f Facts, patterns []pattern) bool {
	switch c.key {
	case "user":
		return matchID(patterns, f.UID(), f.User, f.IsUser)
	case "unix-group":
		return matchID(patterns, f.GID(), f.UnixGroup, f.IsUnixGroup)
	}
	var buf [2]string
	for _, s := range c.have(f, buf[:0]) {
		for _, p := range patterns {
			if p.match(s) {
				return true
			}
		}
	}
	return false
}

// matchID reports whether one of the patterns is for an id. Who has a name is known ahead
// and who has a number anyway, so that the name of the id is the last thing asked for.
func matchID(patterns []pattern, id uint32, name func() string, is func(string) bool) bool {
	globs := false
	for _, p := range patterns {
		switch n, number := p.number(); {
		case number && n == id, p == "*":
			return true
		case number:
		case p.plain():
			if is(string(p)) {
				return true
			}
		default:
			globs = true
		}
	}
	if !globs {
		return false
	}
	var digits [10]byte
	for _, p := range patterns {
		if !p.plain() && (p.match(name()) || p.match(string(strconv.AppendUint(digits[:0], uint64(id), 10)))) {
			return true
		}
	}
	return false
}

// commands appends the name that the kernel has cut: that of the program's file, if it
// begins as the command does. It is looked up only where it can decide.
func (c *condition) commands(f Facts, to []string) []string {
	if len(f.Command()) < maxCommand || !c.long() {
		return to
	}
	if file := path.Base(f.Executable()); strings.HasPrefix(file, f.Command()) {
		to = append(to, file)
	}
	return to
}

// have appends what a process has of the property that the condition is about.
func (c *condition) have(f Facts, to []string) []string {
	switch c.key {
	case "command":
		return c.commands(f, append(to, f.Command()))
	case "user":
		return append(to, f.User(), strconv.FormatUint(uint64(f.UID()), 10))
	case "unix-group":
		return append(to, f.UnixGroup(), strconv.FormatUint(uint64(f.GID()), 10))
	case "parent":
		return append(to, f.Groups()...)
	case "executable":
		return append(to, f.Executable())
	case "cgroup":
		return append(to, f.Cgroup())
	case "args":
		return append(to, f.Args())
	case "env":
		return append(to, f.Env(c.variable)...)
	}
	panic("no condition " + c.key)
}

// names is what a group's template can use.
type names struct{ f Facts }

func (n names) User() string      { return n.f.User() }
func (n names) UnixGroup() string { return n.f.UnixGroup() }
func (n names) UID() uint32       { return n.f.UID() }
func (n names) GID() uint32       { return n.f.GID() }
func (n names) Command() string   { return n.f.Command() }
func (n names) Exe() string       { return n.f.Executable() }
func (n names) ExeBase() string   { return path.Base(n.f.Executable()) }
func (n names) Cgroup() string    { return n.f.Cgroup() }

// Unit is the last part of the control group that names a systemd unit.
func (n names) Unit() string {
	parts := strings.Split(n.f.Cgroup(), "/")
	for i := len(parts) - 1; i >= 0; i-- {
		if strings.HasSuffix(parts[i], ".service") || strings.HasSuffix(parts[i], ".scope") || strings.HasSuffix(parts[i], ".slice") {
			return parts[i]
		}
	}
	return ""
}

// CgroupPart is what the last * of a pattern stands for in the first part of the control
// group's path that matches it, counted from the root of the hierarchy: of
// /system.slice/nginx.service the pattern *.service makes nginx. So what a process may
// make below the part that is its manager's does not change it. Empty if no part matches.
func (n names) CgroupPart(glob string) string {
	before, after := glob, ""
	if i := strings.LastIndexByte(glob, '*'); i >= 0 {
		before, after = glob[:i], glob[i+1:]
	}
	for part := range strings.SplitSeq(n.f.Cgroup(), "/") {
		rest, ok := strings.CutSuffix(part, after)
		// The shortest beginning that matches leaves the * most.
		for i := 0; ok && i <= len(rest); i++ {
			if pattern(before).match(rest[:i]) {
				return rest[i:]
			}
		}
	}
	return ""
}

// Env is the value of an environment variable, empty when it is not set.
func (n names) Env(name string) string {
	if v := n.f.Env(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// expand makes the group's name. What a name may not hold becomes "_"; an empty
// name is none.
func (r *Rule) expand(f Facts) string {
	if r.name == nil {
		return r.Group
	}
	var b strings.Builder
	if err := r.name.Execute(&b, names{f}); err != nil {
		return ""
	}
	return cut(clean(b.String()))
}

// cut makes a name as short as a group's may be. The hash in place of its end tells it
// from all others that begin alike.
func cut(name string) string {
	if len(name) <= groups.MaxName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:groups.MaxName-hashLen] + "-" + hex.EncodeToString(sum[:(hashLen-1)/2])
}

// hashLen is how long a dash and the hash are.
const hashLen = 17

// pattern is a glob in which * stands for any text, also with slashes, and ? for
// one character.
type pattern string

// plain tells that the pattern stands for itself alone.
func (p pattern) plain() bool { return !strings.ContainsAny(string(p), "*?") }

// number is the id that a plain pattern of digits stands for.
func (p pattern) number() (uint32, bool) {
	n, err := strconv.ParseUint(string(p), 10, 32)
	return uint32(n), err == nil
}

func (p pattern) match(s string) bool {
	return p.matchBy(s, func(p, c byte) bool { return p == '?' || p == c })
}

// matchBy matches by what one character of the pattern stands for.
func (p pattern) matchBy(s string, one func(p, c byte) bool) bool {
	// The usual two-pointer walk: on a mismatch, let the last * take one more.
	var i, j int
	star, mark := -1, 0
	for j < len(s) {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
		case i < len(p) && one(p[i], s[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}
