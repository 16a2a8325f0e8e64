// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"fmt"
	"strings"
	"time"
)

// Group is a named set of processes that share a bill.
type Group struct {
	// ID is never reused, not even after a restart or the group's deletion.
	ID uint32
	// Name is unique among the groups that exist; see [CheckName].
	Name string
	// Owner is the uid of the user who created the group.
	Owner uint32
	// Labels are free text; never nil. The map is never changed, but replaced.
	Labels map[string]string
	// Created is the wall clock time of creation. Closed is zero while the
	// group is open.
	Created, Closed time.Time
	// Temporary: it was made for one command, or for one of many names that a rule can
	// make, and is deleted by itself some time after its last process ended.
	Temporary bool `json:",omitempty"`
	// Lapsed: it was closed by itself, since it had no processes, and opens again when
	// one is to join it.
	Lapsed bool `json:",omitempty"`
	// Absorbed are the ids of the groups that were merged into this one, ascending, at
	// most [MaxAbsorbed]. The history has them in its cells, and they count as this
	// group's.
	Absorbed []uint32 `json:",omitempty"`
	// User is the uid of the user whose processes a rule puts in the group: that of a
	// template which names the user. Nil is no such user.
	User *uint32 `json:",omitempty"`
	// FirstRow is the number of the first row of the journal that may name the group as
	// it is called now; 0: any.
	FirstRow uint64 `json:",omitempty"`
	// Names are what else rows call it, at most [MaxNames]: how it was called, and what
	// was merged into it.
	Names []FormerName `json:",omitempty"`
}

// FormerName is a name by which rows of the journal know a group: from the number First
// to before Before.
type FormerName struct {
	Name          string
	First, Before uint64
}

// MaxNames bounds [Group].Names: those of the latest rows are kept.
const MaxNames = 1000

// MaxAbsorbed is how many groups may be merged into one.
const MaxAbsorbed = 10000

// Takes reports whether the group takes new members: it is open, or opens for them.
func (g *Group) Takes() bool { return g.Open() || g.Lapsed }

// Open reports whether the group takes new members by hand.
func (g *Group) Open() bool { return g.Closed.IsZero() }

// State returns "open" or "closed".
func (g *Group) State() string {
	if g.Open() {
		return "open"
	}
	return "closed"
}

// Former is the id that stands for all groups that exist no more. No group has it
// and no process is in it: it keeps their bills among those of any group.
const Former uint32 = 0

// MaxName is the longest group name, in bytes.
const MaxName = 128

// CheckName reports whether name may name a group: 1 to 128 of letters,
// digits and . _ - / : @ (ASCII). The error names the offending part.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("bad group name %q: it is empty; use 1-%d of letters, digits, . _ - / : @", name, MaxName)
	case len(name) > MaxName:
		return fmt.Errorf("bad group name %.20q…: %d characters; use at most %d", name, len(name), MaxName)
	}
	for _, c := range name {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '_', c == '-', c == '/', c == ':', c == '@':
		default:
			return fmt.Errorf("bad group name %q: %q is not allowed; use letters, digits, . _ - / : @", name, c)
		}
	}
	return nil
}

// IsPattern reports whether what stands for groups is a pattern, in which * stands for
// any text and ? for one character. No group has such a name.
func IsPattern(s string) bool { return strings.ContainsAny(s, "*?") }

// IsParent reports whether what stands for groups is a parent, which ends with a slash:
// all groups whose names begin so.
func IsParent(s string) bool { return strings.HasSuffix(s, "/") && !IsPattern(s) }

// CheckPattern reports whether s may stand for groups: as [CheckName], with * and ?.
func CheckPattern(s string) error { return CheckName(wildcards.Replace(s)) }

var wildcards = strings.NewReplacer("*", "x", "?", "x")
