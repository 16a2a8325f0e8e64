// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"elsa/internal/rules"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// executed is a process that rules are to be applied to. Where the source of events
// tells no more than the pid, Start and what comes after it are unknown.
type executed struct {
	pid      int32
	start    clock.Start
	uid, gid uint32
	comm     [16]byte
	cgroup   uint64
}

func (x *executed) told() bool { return x.start.Known() }

// ruled is what the rules in force have come to.
type ruled struct {
	// made counts the groups of each rule that can make more than one; nil until it
	// is asked for.
	made map[*rules.Rule]int
	// told are the rules of which a refusal was told, errs those not told yet.
	told map[*rules.Rule]bool
	errs []error
	// full says until when a rule has no group that could make room for another.
	full map[*rules.Rule]clock.Boot
	// unnamed are live processes for which rules asked for a name that is not known yet.
	unnamed map[groups.Key]executed
	// late are processes that ended before the rules could look at them, of this step
	// and the one before: their lines are to come.
	late [2]map[groups.Key]bool
}

// maxWaiting bounds the processes that wait for names, and those of a step that wait
// for their line.
const maxWaiting = 1 << 14

// await keeps a process until names are known, and reports whether there was room.
func (r *ruled) await(k groups.Key, x executed) bool {
	if len(r.unnamed) >= maxWaiting {
		return false
	}
	if r.unnamed == nil {
		r.unnamed = map[groups.Key]executed{}
	}
	r.unnamed[k] = x
	return true
}

// missed keeps a process until its line.
func (r *ruled) missed(k groups.Key) {
	if len(r.late[0]) >= maxWaiting {
		return
	}
	if r.late[0] == nil {
		r.late[0] = map[groups.Key]bool{}
	}
	r.late[0][k] = true
}

func (r *ruled) isMissed(k groups.Key) bool {
	_, now := r.late[0][k]
	_, before := r.late[1][k]
	return now || before
}

// step is the end of a step: the lines of those that it missed come in the next at the
// latest.
func (r *ruled) step() {
	if len(r.late[0])+len(r.late[1]) > 0 {
		r.late[0], r.late[1] = r.late[1], r.late[0]
		clear(r.late[0])
	}
}
