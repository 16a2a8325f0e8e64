// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"elsa/pkg/cnfork"
	"elsa/pkg/taskstats"
)

// Over a planned restart sockets wait in the service manager's store of
// descriptors, so that nothing is missed: the kernel queues events and records in
// them. What a start needs beside them is committed at the stop, and they are
// stored only after that. They are taken out of the store at the start: a crash
// finds none. A ring of BPF is in the store from its start on; see ring.

// What the descriptors are called in the store.
const (
	NameEvents    = "elsa-events"
	NameTaskstats = "elsa-taskstats"
	NameRing      = "elsa-ring-" // and the name of the handle
)

// handOver stops reading, for the next start to go on there: events between two of
// them, and only where they are known without a gap.
func (p *Pipeline) handOver() {
	if p.Keeper == nil || !p.Keeper.Offered() {
		return
	}
	conn, byConnector := p.Sources.Events.(*cnfork.Conn)
	byConnector = byConnector && conn.Source() == cnfork.SourceProc
	if !byConnector && !p.Sources.RingEvents {
		return
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
	if p.Sources.Exact != nil {
		for b := range p.Sources.Exact.Batches() {
			p.takeExact(b)
		}
	}
	if byConnector && p.Engine.Doubtless() {
		drops := conn.Drops()
		p.meta.Stored = &drops
	}
}

// keepSources stores the sockets after the commit of what goes with them. Closing
// leaves alone what is stored.
func (p *Pipeline) keepSources() {
	if conn, ok := p.Sources.Events.(*cnfork.Conn); ok && p.meta.Stored != nil && p.keep(NameEvents, conn.Descriptor()) {
		conn.Detach()
	}
	if conn, ok := p.Sources.Taskstats.(*taskstats.Conn); ok && p.meta.StoredTaskstats != nil && p.keep(NameTaskstats, conn.Descriptor()) {
		conn.Detach()
	}
}

func (p *Pipeline) keep(name string, fd int) bool {
	err := p.Keeper.Keep(name, fd)
	if err != nil {
		p.Log.Warn("cannot store a source over the restart", "descriptor", name, "err", err)
	}
	return err == nil
}
