// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"time"

	"elsa/internal/fault"
)

// expireInterval is how often temporary groups are looked through.
const expireInterval = 10 * time.Second

// Run applies events, steps every interval and serves requests until ctx is
// done; then it takes a last step. An error means that a source failed or that
// the last commit could not be made. It must be called once.
func (p *Pipeline) Run(ctx context.Context) error {
	defer close(p.stopped)
	defer p.settle()
	go p.sampleMinutes(ctx)
	go p.auditing(ctx)
	tick := time.NewTicker(p.Interval)
	defer tick.Stop()
	expire := time.NewTicker(expireInterval)
	defer expire.Stop()
	for {
		select {
		case <-ctx.Done():
			return p.finish()
		case <-expire.C:
			if err := p.expire(); err != nil {
				return err
			}
		case b, ok := <-p.Sources.Events.Batches():
			if !ok {
				return errSource(ctx, "events")
			}
			p.takeEvents(b)
			if err := p.stepIfFull(); err != nil {
				return err
			}
		case b, ok := <-batches(p.Sources.Taskstats):
			if !ok {
				return errSource(ctx, "taskstats")
			}
			p.takeTaskstats(b)
			if err := p.stepIfFull(); err != nil {
				return err
			}
		case b, ok := <-batches(p.Sources.Exact):
			if !ok {
				return errSource(ctx, "exact")
			}
			p.takeExact(b)
			if err := p.stepIfFull(); err != nil {
				return err
			}
		case <-p.Proc.Answered():
			if err := p.Engine.Answered(p.Proc.TakeAnswered(), readNow()); err != nil {
				return err
			}
		case f := <-p.requests:
			f()
		case <-tick.C:
			if err := p.step(); err != nil {
				return err
			}
			if p.disk.now == nil {
				p.begin(newSave())
			}
		case w := <-p.disk.written:
			p.ended(w)
		}
	}
}

// heldMax is how many precise records may wait for their lines before a step is
// taken out of turn: in a storm a second's would be tens of megabytes.
const heldMax = 4096

// stepIfFull takes a step out of turn if much is held, and commits if much of the ring
// is kept.
func (p *Pipeline) stepIfFull() error {
	ring := p.ringFull() && p.disk.now == nil
	if !ring && p.Engine.Held() < max(p.full, heldMax) {
		return nil
	}
	err := p.step()
	if ring && err == nil {
		p.begin(newSave())
	}
	p.full = 2 * p.Engine.Held() // what still waits does not make the next step due
	return err
}

func (p *Pipeline) expire() error {
	deleted, err := p.Engine.Expire(p.RunRetention, readNow())
	if deleted > 0 {
		p.Log.Debug("temporary groups deleted", "groups", deleted)
	}
	return err
}

// finish is the last step: everything that died by now is on its bill, and the
// living are sampled, since their records may come while nobody reads.
func (p *Pipeline) finish() error {
	p.settle()
	err := p.step()
	p.handOver()
	err = errors.Join(err, p.Engine.SampleMembers(readNow()))
	p.meta.CleanStop = true
	fault.Point(fault.StopStepped)
	err = errors.Join(err, p.commit())
	fault.Point(fault.StopCommitted)
	if err == nil {
		p.keepSources()
	}
	return err
}

// errSource explains a stream that ended by itself; Run's own error says why.
func errSource(ctx context.Context, name string) error {
	if ctx.Err() != nil {
		return nil
	}
	return errors.New("read " + name + ": stream ended")
}
