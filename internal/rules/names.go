// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"fmt"
	"slices"
	"strconv"
)

// Names knows the names of users and unix groups. What has no name, and what is being
// looked up, is known by its number; known tells that an answer is the last word so
// far. See package nss.
type Names interface {
	User(uid uint32) (name string, known bool)
	UnixGroup(gid uint32) (name string, known bool)
	// IsUser and IsUnixGroup report whether a name is one of an id. They answer for the
	// names that are in rules; see [Set.Names].
	IsUser(uid uint32, name string) (is, known bool)
	IsUnixGroup(gid uint32, name string) (is, known bool)
}

// named are the ids of a process and their names.
type named struct {
	names    Names
	uid, gid uint32
	// pending: a name that was asked for is being looked up; unsure: one since the last
	// call of Unseen.
	pending, unsure bool
}

func (n *named) UID() uint32   { return n.uid }
func (n *named) GID() uint32   { return n.gid }
func (n *named) Pending() bool { return n.pending }

func (n *named) User() string {
	name, known := n.names.User(n.uid)
	n.asked(known)
	return name
}

func (n *named) UnixGroup() string {
	name, known := n.names.UnixGroup(n.gid)
	n.asked(known)
	return name
}

func (n *named) IsUser(name string) bool {
	is, known := n.names.IsUser(n.uid, name)
	n.asked(known)
	return is
}

func (n *named) IsUnixGroup(name string) bool {
	is, known := n.names.IsUnixGroup(n.gid, name)
	n.asked(known)
	return is
}

func (n *named) asked(known bool) {
	n.pending = n.pending || !known
	n.unsure = n.unsure || !known
}

// Names are the users and unix groups that rules name: not by number, nor by a
// pattern.
func (s *Set) Names() (users, unixGroups []string) {
	for i := range s.Rules {
		for _, c := range s.Rules[i].conditions {
			for _, p := range slices.Concat(c.want, c.not) {
				if _, number := p.number(); number || !p.plain() {
					continue
				}
				switch c.key {
				case "user":
					users = append(users, string(p))
				case "unix-group":
					unixGroups = append(unixGroups, string(p))
				}
			}
		}
	}
	return users, unixGroups
}

// Unknown are the users and unix groups in rules that nobody has, with their rule, as
// "line 4: user alice".
func (s *Set) Unknown(known interface {
	Unknown() (users, unixGroups []string)
}) (list []string) {
	users, unixGroups := known.Unknown()
	for i := range s.Rules {
		for _, c := range s.Rules[i].conditions {
			missing := map[string][]string{"user": users, "unix-group": unixGroups}[c.key]
			for _, p := range slices.Concat(c.want, c.not) {
				if slices.Contains(missing, string(p)) {
					list = append(list, fmt.Sprintf("line %d: %s %s", s.Rules[i].Line, c.key, p))
				}
			}
		}
	}
	return list
}

// Numbers are Names where nobody has one.
type Numbers struct{}

func (Numbers) User(uid uint32) (string, bool)          { return strconv.FormatUint(uint64(uid), 10), true }
func (Numbers) UnixGroup(gid uint32) (string, bool)     { return strconv.FormatUint(uint64(gid), 10), true }
func (Numbers) IsUser(uint32, string) (is, known bool)  { return false, true }
func (Numbers) IsUnixGroup(uint32, string) (bool, bool) { return false, true }
