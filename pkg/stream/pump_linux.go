// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Pump moves what the kernel has queued behind a descriptor into batches of its
// outlets: one goroutine in Run. It has the loop and the barriers; what a queue is
// like is for its [Queue] to know.
//
// Run sleeps while nothing comes; see [Waiter]. When something comes it waits a
// little for more, reads until the queue is empty, and goes on so until a wait
// has brought nothing. Mark and the end of the context interrupt all waits. It
// allocates nothing per item.
type Pump struct {
	queue   Queue
	pause   time.Duration
	outlets []AnyOutlet

	want      atomic.Uint64 // last Mark
	delivered uint64        // last barrier

	wait *Waiter

	mu      sync.Mutex // guards the Waiter against use after Close
	running bool
	closed  bool
}

// Queue says how to read a queue. Its functions are called in the goroutine of Run,
// one at a time.
type Queue struct {
	// Take puts some of what is queued in the batches of the outlets, without
	// blocking, for none more than its OutletOptions.Take. It returns how much it took
	// off the queue, and whether it then met the queue's end.
	Take func() (n int, empty bool, err error)
	// Holding tells whether Take holds something back that it gives later,
	// although nothing more comes: then Run does not sleep, it looks again
	// after each pause, which must not be none. Nil: it never does.
	Holding func() bool
	// Arm is called before each sleep: from now on the descriptor shall become
	// readable when something is queued. It returns true if something is by now. Nil:
	// the descriptor always does.
	Arm func() bool
}

// NewPump returns a Pump of the queue behind fd, which can be polled, to outlets that
// no other has. fd stays the caller's, and must be open until Close. pause is how long
// items may gather after the first before they are read, unless Mark asks for them
// sooner; none unless positive.
func NewPump(fd int, queue Queue, pause time.Duration, outlets ...AnyOutlet) (*Pump, error) {
	wait, err := NewWaiter(fd)
	if err != nil {
		return nil, err
	}
	p := &Pump{queue: queue, pause: pause, outlets: outlets, wait: wait}
	for _, o := range outlets {
		o.of(p)
	}
	return p, nil
}

// Mark implements [Source], for all outlets.
func (p *Pump) Mark(n uint64) {
	if p.want.Swap(n) != n {
		p.wait.Wake()
	}
}

// errRunning is what Close returns while Run is running.
var errRunning = errors.New("close source: Run has not returned")

// Close gives up watching the descriptor. While Run is running it is an error
// and does nothing; calling it again does nothing.
func (p *Pump) Close() error {
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

// Run implements [Source]. All that it has read is delivered before the channels
// are closed, also when ctx ends: a consumer that receives until then misses
// nothing.
func (p *Pump) Run(ctx context.Context) error {
	defer func() {
		for _, o := range p.outlets {
			o.end()
		}
	}()
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
		if !some && (p.queue.Holding == nil || !p.queue.Holding()) {
			if p.queue.Arm != nil && p.queue.Arm() {
				continue
			}
			ready, err := p.wait.Readable()
			if err != nil {
				return err
			}
			if !ready {
				continue // there is no more to wait for
			}
		}
		if ctx.Err() != nil || p.want.Load() != p.delivered || p.pause <= 0 {
			continue // no time to wait for more
		}
		if err := p.wait.Pause(p.pause); err != nil {
			return err
		}
	}
}

func (p *Pump) begin() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errors.New("run source: it is closed")
	}
	p.running = true
	return nil
}

func (p *Pump) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = false
}

// drain reads until the queue is empty and delivers everything. It reports
// whether there was anything.
func (p *Pump) drain(ctx context.Context) (some bool, err error) {
	for {
		for _, o := range p.outlets {
			if err := o.room(ctx); err != nil {
				return some, errors.Join(err, p.deliver(0))
			}
		}
		// A barrier holds if it was asked for before a look that finds the
		// queue empty, so take the number first.
		want := p.want.Load()
		n, empty, err := p.queue.Take()
		if err != nil {
			return some, errors.Join(err, p.deliver(0))
		}
		some = some || n > 0
		if empty {
			return some, p.deliver(want)
		}
	}
}

// deliver sends the batches in the making that say anything.
func (p *Pump) deliver(barrier uint64) error {
	if barrier > p.delivered {
		p.delivered = barrier
	} else {
		barrier = 0
	}
	var err error
	for _, o := range p.outlets {
		if e := o.deliver(barrier); e != nil {
			err = errors.Join(err, e)
		}
	}
	return err
}
