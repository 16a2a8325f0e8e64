// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"elsa/pkg/cnfork"
	"elsa/pkg/taskrelease"
	"elsa/pkg/taskstats"
	"elsa/pkg/tracepoint"
)

// Over a planned restart the sources wait in the service manager's store of
// descriptors, so that nothing is missed: the kernel queues events and records in
// them. What a start needs beside them is committed at the stop, and they are
// stored only after that. They are taken out of the store at the start: a crash
// finds none.

// What the descriptors are called in the store.
const (
	NameEvents    = "elsa-events"
	NameTaskstats = "elsa-taskstats"
	NameExact     = "elsa-exact-" // and the name of the handle
)

// handOver stops reading, for the next start to go on there: events between two of
// them, and only where they are known without a gap.
func (p *Pipeline) handOver() {
	conn, ok := p.Sources.Events.(*cnfork.Conn)
	if !ok || p.Keeper == nil || !p.Keeper.Offered() || conn.Source() != cnfork.SourceProc {
		return
	}
	exact, hasExact := p.Sources.Exact.(*taskrelease.Source)
	if hasExact {
		h, err := exact.Handles() // the end of its Run closes it
		if err != nil {
			p.Log.Warn("cannot keep exact records over the restart", "err", err)
		} else {
			p.handles = h
		}
	}
	p.Sources.Pause()
	for b := range conn.Batches() {
		p.takeEvents(b)
	}
	if conn, ok := p.Sources.Taskstats.(*taskstats.Conn); ok {
		for b := range conn.Batches() {
			p.takeTaskstats(b)
		}
		drops := conn.Drops()
		p.meta.StoredTaskstats = &drops
	}
	if hasExact {
		for b := range exact.Batches() {
			p.takeExact(b)
		}
	}
	if p.handles != nil {
		lost := exact.Lost()
		p.meta.StoredExact = &lost
	}
	if p.Engine.Doubtless() {
		drops := conn.Drops()
		p.meta.Stored = &drops
	}
}

// keepSources stores the sources after the commit of what goes with them. Closing
// leaves alone what is stored.
func (p *Pipeline) keepSources() {
	if conn, ok := p.Sources.Events.(*cnfork.Conn); ok && p.meta.Stored != nil && p.keep(NameEvents, conn.Descriptor()) {
		conn.Detach()
	}
	if conn, ok := p.Sources.Taskstats.(*taskstats.Conn); ok && p.meta.StoredTaskstats != nil && p.keep(NameTaskstats, conn.Descriptor()) {
		conn.Detach()
	}
	if h := p.handles; h != nil {
		p.keepHandles(NameExact, h)
	}
}

// keepHandles stores all handles of programs, which is of use only together.
func (p *Pipeline) keepHandles(prefix string, h tracepoint.Handles) {
	defer h.Close()
	for name, fd := range h {
		if !p.keep(prefix+name, fd) {
			return
		}
	}
}

func (p *Pipeline) keep(name string, fd int) bool {
	err := p.Keeper.Keep(name, fd)
	if err != nil {
		p.Log.Warn("cannot store a source over the restart", "descriptor", name, "err", err)
	}
	return err == nil
}
