// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"elsa/pkg/clock"
)

// sleeps remember when the machine was asleep. A ledger line has its process's life
// time by CLOCK_MONOTONIC, which stands still meanwhile, and computes from that when
// it began (kernel/acct.c, fill_ac): too late by as long as the machine slept in the
// process's life. The zero value knows of none.
type sleeps struct {
	// known are readings of the time asleep since boot, the latest last, one for
	// each sleep that was found, and when it was.
	known []reading
}

type reading struct {
	boot   clock.Boot
	asleep time.Duration
}

// maxSleeps is how many readings are kept, and sleepSlack how far two may be apart
// without a sleep in between: the clocks are read one after the other.
const (
	maxSleeps  = 64
	sleepSlack = time.Millisecond
)

// set takes a reading.
func (s *sleeps) set(boot clock.Boot, asleep time.Duration) {
	if n := len(s.known); n > 0 && asleep-s.known[n-1].asleep < sleepSlack {
		return
	}
	s.known = append(s.known, reading{boot, asleep})
	if len(s.known) > maxSleeps {
		s.known = s.known[1:]
	}
}

// since is how long the machine may have slept since a time: as long as since the
// last reading before it, or since boot.
func (s *sleeps) since(at clock.Boot) time.Duration {
	n := len(s.known)
	if n == 0 {
		return 0
	}
	before := time.Duration(0)
	for i := n - 1; i >= 0; i-- {
		if s.known[i].boot <= at {
			before = s.known[i].asleep
			break
		}
	}
	return s.known[n-1].asleep - before
}
