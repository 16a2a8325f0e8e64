// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"elsa/internal/rules"
	"elsa/pkg/clock"
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
}
