// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"elsa/pkg/cnfork"
	"elsa/pkg/taskevent"
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
	NameExact     = "elsa-exact-"  // and the name of the handle
	NamePrograms  = "elsa-events-" // the same, of events by BPF
)

// handOver stops reading, for the next start to go on there: events between two of
// them, and only where they are known without a gap.
func (p *Pipeline) handOver() {
	if p.Keeper == nil || !p.Keeper.Offered() {
		return
	}
	conn, byConnector := p.Sources.Events.(*cnfork.Conn)
	programs, byPrograms := p.Sources.Events.(*taskevent.Source)
	if !byPrograms && (!byConnector || conn.Source() != cnfork.SourceProc) {
		return
	}
	if byPrograms {
		p.eventHandles = p.handlesOf(programs, "events")
	}
	exact, hasExact := p.Sources.Exact.(*taskrelease.Source)
	if hasExact {
		p.exactHandles = p.handlesOf(exact, "exact records")
	}
	p.Sources.Pause()
	for b := range p.Sources.Events.Batches() {
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
	if p.exactHandles != nil {
		lost := exact.Lost()
		p.meta.StoredExact = &lost
	}
	switch {
	case !p.Engine.Doubtless():
	case byConnector:
		drops := conn.Drops()
		p.meta.Stored = &drops
	case p.eventHandles != nil:
		lost := programs.Lost()
		p.meta.StoredEvents = &lost
	}
}

// handlesOf returns the handles of a source, whose programs the end of its Run
// detaches; nil if they cannot be kept.
func (p *Pipeline) handlesOf(s interface {
	Handles() (tracepoint.Handles, error)
}, what string) tracepoint.Handles {
	h, err := s.Handles()
	if err != nil {
		p.Log.Warn("cannot keep "+what+" over the restart", "err", err)
		return nil
	}
	return h
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
	if p.meta.StoredEvents != nil {
		p.keepHandles(NamePrograms, p.eventHandles)
	}
	p.eventHandles.Close()
	p.keepHandles(NameExact, p.exactHandles)
	p.exactHandles.Close()
}

// keepHandles stores all handles of programs, which is of use only together.
func (p *Pipeline) keepHandles(prefix string, h tracepoint.Handles) {
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
