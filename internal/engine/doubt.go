// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// loss is what is in doubt since events were lost, or since nobody followed them.
type loss struct {
	// pending: events were lost, and /proc was not read since. Until then what is
	// known of who is in which groups is neither billed, shown, stored nor ruled
	// upon.
	pending bool
	// ever: events were lost in this run.
	ever bool
	// gaps: for so many steps, lines may name processes that nobody saw.
	gaps int
	// asOf: every event before is applied.
	asOf clock.Boot
	// trusted: every event since is applied, with no loss after it.
	trusted clock.Boot
	// newSince is since when the last look at all processes took what it found for new:
	// one that was busy then is looked at by the same measure.
	newSince clock.Boot
	// ruleable are processes to be looked at by the rules after the rescan.
	ruleable []executed
	// procs is room for a look at all processes.
	procs []proc.Process
}

// gapSteps is how long after a rescan lines may name unseen processes: what died
// before the scan may have its line after the end of the step under way.
const gapSteps = 2

// ending are deaths without a line of which the process is gone: see
// [Engine.mayGetLine].
type ending struct {
	// seen has the step at which that was seen.
	seen map[groups.Key]uint64
	step uint64
}
