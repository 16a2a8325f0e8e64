// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"runtime/debug"
	"time"

	"elsa/internal/pipeline"
	"elsa/internal/tally"
)

const (
	trimInterval = 15 * time.Second
	// trimBusy is how many deaths in an interval leave memory worth giving back,
	// and below which it can be given back without its being taken again.
	trimBusy = 2000
)

// trim gives the memory that the start or a storm took back to the system once
// it is over. The runtime would take minutes.
func trim(ctx context.Context, p *pipeline.Pipeline) error {
	tick := time.NewTicker(trimInterval)
	defer tick.Stop()
	debug.FreeOSMemory()
	for last, worth := uint64(0), false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var exits uint64
		if p.Do(ctx, func(t pipeline.Turn) error { exits = t.Engine().Counts()[tally.Exits]; return nil }) != nil {
			return nil
		}
		if busy := exits-last > trimBusy; busy {
			worth = true
		} else if worth {
			worth = false
			debug.FreeOSMemory()
		}
		last = exits
	}
}
