// SPDX-License-Identifier: Apache-2.0

package stream

import "context"

// Outlet is where a [Pump] delivers items of one type, to one consumer. With the
// Pump's Run it is a [Source].
type Outlet[T any] struct {
	opt    OutletOptions
	finish func(*Batch[T]) error
	cur    *Batch[T]
	pump   *Pump

	out  chan *Batch[T]
	free chan *Batch[T]
}

// OutletOptions shape an Outlet. All must be positive.
type OutletOptions struct {
	// Take is how many items one call of Queue.Take may append at most, as a
	// rule.
	Take int
	// Items is how many items a batch may hold before it is delivered; at least
	// Take.
	Items int
	// Queue is the number of batches in circulation: in the channel, with the
	// consumer and in the making; at least 2.
	Queue int
}

// AnyOutlet is an Outlet of any type.
type AnyOutlet interface {
	of(*Pump)
	room(context.Context) error
	deliver(barrier uint64) error
	end()
}

// NewOutlet returns an Outlet for a Pump. finish looks at each batch last and counts
// in b.Lost what was lost since the batch before.
func NewOutlet[T any](opt OutletOptions, finish func(b *Batch[T]) error) *Outlet[T] {
	opt.Items = max(opt.Items, opt.Take)
	opt.Queue = max(opt.Queue, 2)
	o := &Outlet[T]{
		opt: opt, finish: finish,
		// All batches fit the channel, so a send never blocks: Run waits for
		// a free batch before it reads, and never holds what it cannot deliver.
		out:  make(chan *Batch[T], opt.Queue),
		free: make(chan *Batch[T], opt.Queue),
	}
	for range opt.Queue {
		o.free <- new(Batch[T])
	}
	return o
}

// Batch is the batch in the making, within Queue.Take.
func (o *Outlet[T]) Batch() *Batch[T] { return o.cur }

// Batches implements [Source].
func (o *Outlet[T]) Batches() <-chan *Batch[T] { return o.out }

// Release implements [Source]. The Pump waits when all batches of an outlet are with
// the consumer, so each batch must be released, once.
func (o *Outlet[T]) Release(b *Batch[T]) {
	b.Reset()
	select {
	case o.free <- b:
	default:
		panic("stream: batch released twice")
	}
}

// Mark implements [Source]. It asks for a barrier in all outlets of the Pump.
func (o *Outlet[T]) Mark(n uint64) { o.pump.Mark(n) }

func (o *Outlet[T]) of(p *Pump) { o.pump = p }

func (o *Outlet[T]) end() { close(o.out) }

// room makes sure that the batch in the making has room for what one more Take
// brings, and waits for a free one if need be.
func (o *Outlet[T]) room(ctx context.Context) error {
	if o.cur != nil && len(o.cur.Items)+o.opt.Take > o.opt.Items {
		if err := o.deliver(0); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if o.cur != nil {
		return nil
	}
	select {
	case o.cur = <-o.free:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// deliver sends the batch in the making if it says anything.
func (o *Outlet[T]) deliver(barrier uint64) error {
	b := o.cur
	if b == nil {
		return nil
	}
	err := o.finish(b)
	b.Barrier = barrier
	if len(b.Items) > 0 || b.Lost > 0 || b.Rejected > 0 || b.Barrier > 0 {
		o.cur = nil
		o.out <- b
	}
	return err
}
