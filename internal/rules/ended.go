// SPDX-License-Identifier: Apache-2.0

package rules

import "elsa/pkg/proc"

// Ended are the facts of a process that is gone, but for the groups it was in:
// what the record of its death says. Every condition has its own method here, so
// that a new one has to say whether it can be told at death.
type Ended struct {
	named
	p      proc.Process
	unseen bool
}

// Gone returns the facts of a process of which only pid, ids and command are known.
func Gone(p proc.Process, names Names) *Ended {
	return &Ended{p: p, named: named{names: names, uid: p.UID, gid: p.GID}}
}

func (e *Ended) Command() string { return e.p.Command() }

func (e *Ended) Executable() string  { e.unseen = true; return "" }
func (e *Ended) Cgroup() string      { e.unseen = true; return "" }
func (e *Ended) Args() string        { e.unseen = true; return "" }
func (e *Ended) Env(string) []string { e.unseen = true; return nil }

// Unseen reports whether what nobody can tell any more was asked since the last call.
func (e *Ended) Unseen() bool {
	unseen := e.unseen || e.unsure
	e.unseen, e.unsure = false, false
	return unseen
}

// Late is false: no answer is on its way.
func (e *Ended) Late() bool { return false }
