// SPDX-License-Identifier: Apache-2.0

package rules

import "elsa/pkg/proc"

// Ended are the facts of a process that is gone, but for the groups it was in:
// what the record of its death says. Every condition has its own method here, so
// that a new one has to say whether it can be told at death.
type Ended struct {
	p     proc.Process
	names interface {
		User(uid uint32) string
		UnixGroup(gid uint32) string
	}
	unseen bool
}

// Gone returns the facts of a process of which only pid, ids and command are known.
func Gone(p proc.Process, names interface {
	User(uid uint32) string
	UnixGroup(gid uint32) string
}) *Ended {
	return &Ended{p: p, names: names}
}

func (e *Ended) Command() string   { return e.p.Command() }
func (e *Ended) UID() uint32       { return e.p.UID }
func (e *Ended) GID() uint32       { return e.p.GID }
func (e *Ended) User() string      { return e.names.User(e.p.UID) }
func (e *Ended) UnixGroup() string { return e.names.UnixGroup(e.p.GID) }

func (e *Ended) Executable() string  { e.unseen = true; return "" }
func (e *Ended) Cgroup() string      { e.unseen = true; return "" }
func (e *Ended) Args() string        { e.unseen = true; return "" }
func (e *Ended) Env(string) []string { e.unseen = true; return nil }

// Unseen reports whether what nobody can tell any more was asked since the last call.
func (e *Ended) Unseen() bool {
	unseen := e.unseen
	e.unseen = false
	return unseen
}

// Late is false: no answer is on its way.
func (e *Ended) Late() bool { return false }
