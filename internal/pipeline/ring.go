// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"math"

	"elsa/internal/store"
)

// The kernel overwrites what was read of the ring only once it is in a transaction,
// with how far that goes. So a start after a crash reads on there.

// ring says how far the ring was read; nil without one.
func (p *Pipeline) ring() *store.Ring {
	s := &p.Sources
	if s.Ring == nil {
		return nil
	}
	r := &store.Ring{ID: s.Ring.ID()}
	if s.RingEvents && p.Engine.Doubtless() {
		at := p.read.events
		r.Events = &at
	}
	if s.Exact != nil {
		at := p.read.releases
		r.Releases = &at
	}
	return r
}

// goOnReading takes for read what an earlier run had read of the ring, if this is that.
func (p *Pipeline) goOnReading(r *store.Ring) {
	if p.Sources.Ring == nil || r == nil || r.ID != p.Sources.Ring.ID() {
		return
	}
	if r.Events != nil {
		p.read.events = *r.Events
	}
	if r.Releases != nil {
		p.read.releases = *r.Releases
	}
}

// ringRead is up to where all lanes of the ring were read.
func (p *Pipeline) ringRead() uint64 {
	s := &p.Sources
	to := uint64(math.MaxUint64)
	if s.RingEvents {
		to = p.read.events.Position
	}
	if s.Ring != nil && s.Exact != nil {
		to = min(to, p.read.releases.Position)
	}
	return to
}

// freeRing lets the kernel overwrite what is before a position.
func (p *Pipeline) freeRing(to uint64) {
	if p.Sources.Ring != nil {
		p.Sources.Ring.Free(to)
	}
}

// ringFull tells that so much of the ring is kept that a commit is due out of turn.
func (p *Pipeline) ringFull() bool {
	if p.Sources.Ring == nil {
		return false
	}
	kept, of := p.Sources.Ring.Kept()
	return kept > of/4
}

// unburden frees what is before a position and not committed, where room runs short: a
// crash will then lose it; going on without room would at once.
func (p *Pipeline) unburden(to uint64) {
	if p.ringFull() {
		p.freeRing(to)
	}
}
