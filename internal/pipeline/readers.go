// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"time"

	"elsa/internal/history"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/usage"
)

// detailBudget bounds the time one round spends on detailed samples (faults,
// I/O, memory), some 40 µs each. CPU is sampled of every member in every round.
const detailBudget = 25 * time.Millisecond

// fresh is how old samples may be for those who read the history.
const fresh = time.Second

// Each minute all members are sampled, at the latest, since what they use goes into the
// history by the hour in which they are: just before it ends, so that the hour's is
// complete to that time. A minute's samples may take longer than those of a reader.
const (
	minuteBudget = 500 * time.Millisecond
	beforeMinute = 300 * time.Millisecond
)

// fewMembers is with how many members each round samples all in detail.
const fewMembers = 200

// sample samples every live member, with details for as long as a budget lasts, puts
// the samples on the bills and calls then, if not nil, in the same turn; not if all were sampled less
// than some time ago.
func (p *Pipeline) sample(ctx context.Context, budget, age time.Duration, then func(Turn) error) error {
	r := &p.readers
	r.mu.Lock()
	defer r.mu.Unlock()
	if age > 0 && time.Since(r.last) < age {
		return nil
	}
	r.round++
	r.work = r.work[:0]
	if err := p.Do(ctx, Turn.list); err != nil {
		return err
	}
	deadline := time.Now().Add(budget)
	for _, s := range r.work {
		// The oldest detail first: those of the last round that had none.
		detail := r.round-s.detailed > 1 || len(r.work) < fewMembers
		detail = detail && time.Now().Before(deadline)
		s.ok = p.Proc.Sample(s.key.PID, s.key.Start, &s.proc, detail) == nil
		if detail {
			s.detailed = r.round
		}
	}
	for k, s := range r.known {
		if s.round != r.round {
			delete(r.known, k)
		}
	}
	return p.Do(ctx, func(t Turn) error {
		// The dead and the living are of one moment: else two quick looks would show
		// what ended in a second as used in between.
		if err := t.Step(); err != nil {
			return err
		}
		for _, s := range r.work {
			if s.ok {
				t.Engine().TakeSample(s.key, &s.proc)
			}
		}
		r.last = time.Now()
		if then == nil {
			return nil
		}
		return then(t)
	})
}

// SampleLiving samples the living, unless that was done just now. It does not wait for
// the disk.
func (p *Pipeline) SampleLiving(ctx context.Context) error {
	return p.sample(ctx, detailBudget, fresh, nil)
}

// History calls f for every cell of the history of the hours from first to before last,
// with what the living used by their last sample. While the disk fails, or does not
// answer, it is what was committed last. f must not keep what it is given, nor change it.
func (p *Pipeline) History(ctx context.Context, first, last uint32, f func(*history.Key, *usage.Usage) error) error {
	var r Reading
	defer r.Close()
	err := p.Do(ctx, func(t Turn) error {
		t.Read(&r)
		return nil
	})
	if unsafe := (*NotSafeError)(nil); err != nil && !errors.As(err, &unsafe) {
		return err
	}
	return r.Each(first, last, f)
}

// sampleMinutes samples the living before the end of each minute, until ctx is done.
func (p *Pipeline) sampleMinutes(ctx context.Context) {
	for {
		now := time.Now().Add(beforeMinute)
		timer := time.NewTimer(now.Truncate(time.Minute).Add(time.Minute).Sub(now))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		if err := p.sample(ctx, minuteBudget, 0, nil); err != nil && ctx.Err() == nil {
			p.Log.Debug("cannot sample the living", "err", err)
		}
	}
}

// refresh samples the living and returns a snapshot of every bill. What that shows is
// durable: no counter falls even over a crash. While the disk hangs it is what was
// committed last, and only where the disk fails it is what is in memory.
func (p *Pipeline) refresh(ctx context.Context) (*usage.Snapshot, error) {
	var shown *usage.Snapshot
	var unsaved time.Time
	err := p.sample(ctx, detailBudget, 0, func(t Turn) error {
		var err error
		shown, err = t.show()
		unsaved = p.disk.since(readNow())
		return err
	})
	if errors.Is(err, errHang) {
		if last := p.committed.Load(); last != nil {
			shown := *last
			shown.Service.Unsaved = unsaved
			return &shown, nil
		}
	}
	if unsafe := (*NotSafeError)(nil); errors.As(err, &unsafe) {
		err = nil // it was told when the commit failed
	} else if err != nil {
		return nil, err
	}
	return shown, err
}

// show takes a snapshot and has it committed.
func (t Turn) show() (*usage.Snapshot, error) {
	begin := time.Now()
	s, err := t.p.view()
	t.p.readers.took = time.Since(begin)
	if err == nil {
		*t.durable = t.p.commitSoon(s, nil)
	}
	return s, err
}

// list notes the members to sample.
func (t Turn) list() error {
	r := &t.p.readers
	return t.Engine().EachSampled(t.Now(), func(k groups.Key, taken *proc.Sample) {
		s := r.known[k]
		if s == nil {
			s = &sample{key: k}
			r.known[k] = s
		}
		if taken != nil {
			s.proc.Raise(taken)
		}
		s.round = r.round
		r.work = append(r.work, s)
	})
}

// settleTimeout bounds how long a reader waits for the best record of every
// death. It looks soon at first, since the record of a death that was waited for
// comes at once, and then more and more seldom.
const (
	settleTimeout = 2 * time.Second
	settleSoon    = time.Millisecond
	settleSeldom  = 16 * time.Millisecond
)

// WaitSettled returns once every process that died before the call is on its bill
// with the best record it will get, or after settleTimeout. names are the groups
// to wait for; none is all. do is [Pipeline.Do], or what calls it.
func WaitSettled(ctx context.Context, do func(context.Context, func(Turn) error) error, names []string) error {
	deadline := time.NewTimer(settleTimeout)
	defer deadline.Stop()
	called := clock.Boot(0)
	for pause := settleSoon; ; pause = min(2*pause, settleSeldom) {
		waiting := 0
		if err := do(ctx, func(t Turn) error {
			if err := t.Step(); err != nil {
				return err
			}
			if called == 0 {
				called = t.Now().Boot
			}
			waiting = t.Engine().Unsettled(called, names)
			return nil
		}); err != nil || waiting == 0 {
			return err
		}
		select {
		case <-time.After(pause):
		case <-deadline.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
