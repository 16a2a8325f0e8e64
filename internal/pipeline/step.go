// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"fmt"
	"time"

	"elsa/internal/engine"
	"elsa/internal/fault"
	"elsa/internal/tally"
	"elsa/pkg/acct"
	"elsa/pkg/cnfork"
	"elsa/pkg/ledger"
	"elsa/pkg/proc"
	"elsa/pkg/stream"
)

// drainTimeout bounds a drain, which takes well under a millisecond: a source
// that does not answer is broken.
const drainTimeout = 30 * time.Second

// threadRound is how many steps pass between two looks for threads that are gone,
// where the source of events tells no exits.
const threadRound = 64

// step brings the bills up to date. The order is the barrier rule: first note
// where the ledger ends, then take in all that the kernel has queued, then join
// the lines up to there. The fork of every process on those lines is then known,
// and so is every taskstats record, which is sent before the line is written.
func (p *Pipeline) step() error {
	p.setClocks()
	end := p.position
	if p.Sources.Ledger != nil {
		var err error
		if end, err = p.Sources.Ledger.End(); err != nil {
			return fmt.Errorf("read accounting file: %w", err)
		}
	}
	asOf := readNow().Boot
	if err := p.drain(); err != nil {
		return err
	}
	fault.Point(fault.StepDrained)
	p.Engine.Applied(asOf)
	if err := p.rescanIfLost(); err != nil {
		return err
	}
	p.Engine.Classify(p.mark%threadRound == 0, readNow())
	if err := p.joinLines(end); err != nil {
		return err
	}
	fault.Point(fault.StepJoined)
	p.Engine.EndStep(readNow())
	p.watchClock()
	p.watchDisk()
	for _, err := range p.Engine.TakeRuleErrors() {
		p.Log.Warn("a rule leaves processes out; it is told once, and counted", "err", err)
	}
	p.watchLedger()
	return p.watchEvents()
}

// setClocks tells the engine how the clocks stand, and returns the time.
func (p *Pipeline) setClocks() engine.Now {
	now := readNow()
	p.Engine.SetClocks(now, proc.Asleep(), p.tick)
	return now
}

// drain takes in everything the kernel had queued when it was called.
func (p *Pipeline) drain() error {
	p.mark++
	s := &p.Sources
	s.Events.Mark(p.mark)
	if s.Taskstats != nil {
		s.Taskstats.Mark(p.mark)
	}
	if s.Exact != nil {
		s.Exact.Mark(p.mark)
	}
	timeout := time.NewTimer(drainTimeout)
	defer timeout.Stop()
	// What comes after the barrier waits: of one ring all is read up to one place.
	events, taskstats, exact := s.Events.Batches(), batches(s.Taskstats), batches(s.Exact)
	for events != nil || taskstats != nil || exact != nil {
		select {
		case b, ok := <-events:
			if !ok {
				return errors.New("read events: stream ended")
			}
			if b.Barrier >= p.mark {
				events = nil
			}
			p.takeEvents(b)
		case b, ok := <-taskstats:
			if !ok {
				return errors.New("read taskstats: stream ended")
			}
			if b.Barrier >= p.mark {
				taskstats = nil
			}
			p.takeTaskstats(b)
		case b, ok := <-exact:
			if !ok {
				return errors.New("read exact: stream ended")
			}
			if b.Barrier >= p.mark {
				exact = nil
			}
			p.takeExact(b)
		case <-timeout.C:
			return fmt.Errorf("drain streams: no answer in %v", drainTimeout)
		}
	}
	return nil
}

func (p *Pipeline) takeEvents(b *stream.Batch[cnfork.Event]) {
	p.read.events = b.At
	now := readNow()
	if !p.Sources.RingEvents { // stamps are by CLOCK_MONOTONIC, and the machine may have slept since the last step
		now = p.setClocks()
	}
	p.Engine.Events(b.Items, b.Lost, b.Rejected, now)
	p.Sources.Events.Release(b)
}

func (p *Pipeline) takeTaskstats(b *stream.Batch[acct.Record]) {
	p.Engine.Taskstats(b.Items, b.Lost, b.Rejected, readNow())
	p.Sources.Taskstats.Release(b)
}

func (p *Pipeline) takeExact(b *stream.Batch[acct.Record]) {
	was := p.read.releases
	p.read.releases = b.At
	now := readNow()
	p.Engine.LoseExact(b.At.Processes-was.Processes, b.At.CPU-was.CPU, now)
	p.Engine.Exact(b.Items, b.Lost, b.Rejected, now)
	p.Sources.Exact.Release(b)
}

// rescanIfLost repairs what is known of processes if events were lost, and says so
// now and then: a storm loses many times a second.
func (p *Pipeline) rescanIfLost() error {
	before := p.Engine.Counts()[tally.Rescans]
	if err := p.Engine.RescanIfLost(readNow()); err != nil {
		return err
	}
	n, now := p.Engine.Counts(), readNow().Boot
	if n[tally.Rescans] > before && now > p.watch.tellLoss {
		p.watch.tellLoss = now.Add(tellInterval)
		p.Log.Warn("events lost: processes rescanned", "total", n[tally.EventsLost], "rescans", n[tally.Rescans])
	}
	return nil
}

// joinLines puts the ledger's lines up to end on the bills.
func (p *Pipeline) joinLines(end ledger.Position) error {
	lines := p.Sources.Ledger
	if lines == nil || end == p.position {
		return nil
	}
	placing := p.Engine.Place()
	if placing != nil {
		err := lines.ReadBackward(p.position, end, func(records []acct.Record) error {
			placing.Backward(records)
			p.replay.advance(len(records))
			return nil
		})
		if err != nil {
			return fmt.Errorf("read accounting file: %w", err)
		}
	}
	now := readNow()
	pos, skipped, err := lines.Read(p.position, end, func(records []acct.Record) error {
		p.Engine.Lines(records, placing, now)
		p.replay.advance(len(records))
		return nil
	})
	p.position = pos
	p.skipped.Add(skipped)
	if err != nil {
		return fmt.Errorf("read accounting file: %w", err)
	}
	return nil
}

func batches[T any](s stream.Source[T]) <-chan *stream.Batch[T] {
	if s == nil {
		return nil
	}
	return s.Batches()
}

// Step brings the bills up to date with everything that died by now.
func (t Turn) Step() error { return t.p.step() }

// Sync makes the engine know every process there is at the call: the request may
// be about one whose fork is not read yet, or was lost. What was forked before
// this moment is not affected by the request. With look all are read from /proc in
// any case. Rules may make groups meanwhile.
func (t Turn) Sync(look bool) error {
	p := t.p
	if err := p.drain(); err != nil {
		return err
	}
	if err := p.rescanIfLost(); err != nil {
		return err
	}
	p.Engine.Classify(false, readNow())
	if look {
		return p.Engine.Scan(readNow())
	}
	return nil
}
