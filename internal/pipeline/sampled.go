// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"sync"
	"time"

	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/usage"
)

// readers sample live members for those who read, outside the pipeline's
// goroutine, so that no reader holds it up.
type readers struct {
	mu    sync.Mutex
	known map[groups.Key]*sample
	round uint64
	work  []*sample
	took  time.Duration // to compute the last snapshot
	last  time.Time     // when all were sampled
}

type sample struct {
	key      groups.Key
	proc     proc.Sample
	round    uint64 // last seen
	detailed uint64 // round of the last detailed sample
	ok       bool   // sampled in this round
}

// shared makes snapshots for all who ask for one: however many there are, one is
// made at a time, and the next serves everybody who asked meanwhile.
type shared struct {
	mu      sync.Mutex
	next    *snapshot // to be made, nil if nobody waits
	running bool
}

type snapshot struct {
	done chan struct{}
	s    *usage.Snapshot
	err  error
}
