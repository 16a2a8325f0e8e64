// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Pump moves what the kernel has queued behind a descriptor into batches. It is
// a [Source]: one goroutine in Run, one consumer. It has the loop, the barriers
// and the batches; what a queue is like is for its [Feed] to know.
//
// Run sleeps while nothing comes; see [Waiter]. When something comes it waits a
// little for more, reads until the queue is empty, and goes on so until a wait
// has brought nothing. Mark and the end of the context interrupt all waits. It
// allocates nothing per item.
type Pump[T any] struct {
	feed Feed[T]
	opt  PumpOptions
	cur  *Batch[T]

	out  chan *Batch[T]
	free chan *Batch[T]

	want      atomic.Uint64 // last Mark
	delivered uint64        // last Barrier

	wait *Waiter

	mu      sync.Mutex // guards the Waiter against use after Close
	running bool
	closed  bool
}

// Feed says how to read one queue. Its functions are called in the goroutine of
// Run, one at a time, and keep nothing of the batch.
type Feed[T any] struct {
	// Take appends to b.Items some of what is queued, without blocking, and
	// counts in b.Rejected what is amiss. It returns how much it took off the
	// queue, and whether it then met the queue's end.
	Take func(b *Batch[T]) (n int, empty bool, err error)
	// Finish looks at each batch last and counts in b.Lost what was lost since
	// the batch before.
	Finish func(b *Batch[T]) error
	// Holding tells whether Take holds something back that it gives later,
	// although nothing more comes: then Run does not sleep, it looks again
	// after each pause, which must not be none. Nil: it never does.
	Holding func() bool
}

// PumpOptions shape a Pump. All but Pause must be positive.
type PumpOptions struct {
	// Take is how many items one call of Feed.Take may append at most, as a
	// rule.
	Take int
	// Items is how many items a batch may hold before it is delivered; at least
	// Take.
	Items int
	// Queue is the number of batches in circulation: in the channel, with the
	// consumer and in the making; at least 2.
	Queue int
	// Pause is how long items may gather after the first before they are read,
	// unless Mark asks for them sooner. None unless positive.
	Pause time.Duration
}

// NewPump returns a Pump of the queue behind fd, which can be polled. fd stays
// the caller's, and must be open until Close.
func NewPump[T any](fd int, feed Feed[T], opt PumpOptions) (*Pump[T], error) {
	opt.Items = max(opt.Items, opt.Take)
	opt.Queue = max(opt.Queue, 2)
	wait, err := NewWaiter(fd)
	if err != nil {
		return nil, err
	}
	p := &Pump[T]{
		feed: feed,
		opt:  opt,
		wait: wait,
		// All batches fit the channel, so a send never blocks: Run waits for
		// a free batch before it reads, and never holds what it cannot deliver.
		out:  make(chan *Batch[T], opt.Queue),
		free: make(chan *Batch[T], opt.Queue),
	}
	for range opt.Queue {
		p.free <- new(Batch[T])
	}
	return p, nil
}

// Batches implements [Source].
func (p *Pump[T]) Batches() <-chan *Batch[T] { return p.out }

// Release implements [Source]. A Pump has PumpOptions.Queue batches and waits
// when all are with the consumer, so each batch must be released, once.
func (p *Pump[T]) Release(b *Batch[T]) {
	b.Reset()
	select {
	case p.free <- b:
	default:
		panic("stream: batch released twice")
	}
}

// Mark implements [Source].
func (p *Pump[T]) Mark(n uint64) {
	p.want.Store(n)
	p.wait.Wake()
}

// errRunning is what Close returns while Run is running.
var errRunning = errors.New("close source: Run has not returned")

// Close gives up watching the descriptor. While Run is running it is an error
// and does nothing; calling it again does nothing.
func (p *Pump[T]) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil
	case p.running:
		return errRunning
	}
	p.closed = true
	return p.wait.Close()
}

// Run implements [Source]. All that it has read is delivered before the channel
// is closed, also when ctx ends: a consumer that receives until then misses
// nothing.
func (p *Pump[T]) Run(ctx context.Context) error {
	defer close(p.out)
	if err := p.begin(); err != nil {
		return err
	}
	defer p.end()
	defer context.AfterFunc(ctx, p.wait.Wake)()

	for {
		some, err := p.drain(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if !some && (p.feed.Holding == nil || !p.feed.Holding()) {
			ready, err := p.wait.Readable()
			if err != nil {
				return err
			}
			if !ready {
				continue // there is no more to wait for
			}
		}
		if ctx.Err() != nil || p.want.Load() != p.delivered || p.opt.Pause <= 0 {
			continue // no time to wait for more
		}
		if err := p.wait.Pause(p.opt.Pause); err != nil {
			return err
		}
	}
}

func (p *Pump[T]) begin() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errors.New("run source: it is closed")
	}
	p.running = true
	return nil
}

func (p *Pump[T]) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = false
}

// drain reads until the queue is empty and delivers everything. It reports
// whether there was anything.
func (p *Pump[T]) drain(ctx context.Context) (some bool, err error) {
	for {
		if err := p.room(ctx); err != nil {
			return some, errors.Join(err, p.deliver(0))
		}
		// A barrier holds if it was asked for before a look that finds the
		// queue empty, so take the number first.
		want := p.want.Load()
		n, empty, err := p.feed.Take(p.cur)
		if err != nil {
			return some, errors.Join(err, p.deliver(0))
		}
		some = some || n > 0
		if empty {
			return some, p.deliver(want)
		}
	}
}

// room makes sure that the batch in the making has room for what one more Take
// brings, and waits for a free one if need be.
func (p *Pump[T]) room(ctx context.Context) error {
	if p.cur != nil && len(p.cur.Items)+p.opt.Take > p.opt.Items {
		if err := p.deliver(0); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if p.cur != nil {
		return nil
	}
	select {
	case p.cur = <-p.free:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// deliver sends the batch in the making if it says anything.
func (p *Pump[T]) deliver(barrier uint64) error {
	b := p.cur
	if b == nil {
		return nil
	}
	err := p.feed.Finish(b)
	if barrier > p.delivered {
		p.delivered = barrier
		b.Barrier = barrier
	}
	if len(b.Items) > 0 || b.Lost > 0 || b.Rejected > 0 || b.Barrier > 0 {
		p.cur = nil
		p.out <- b
	}
	return err
}
