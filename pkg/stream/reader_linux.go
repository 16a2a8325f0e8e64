// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Reader takes datagrams off a socket and delivers what they decode to. It is
// a [Source]: one goroutine in Run, one consumer.
//
// Run sleeps while nothing comes; see [Waiter]. When something comes it waits a
// few milliseconds for more, reads until the socket is empty, and goes on so
// until a wait has brought nothing. Mark and the end of the context interrupt
// all waits. It allocates nothing per message.
type Reader[T any] struct {
	fd     int
	decode func(Message, *Batch[T])
	finish func(*Batch[T])
	opt    Options
	rx     receiver
	cur    *Batch[T]
	unread bool // datagrams were taken since the drop counter was read

	out  chan *Batch[T]
	free chan *Batch[T]

	want      atomic.Uint64 // last Mark
	delivered uint64        // last Barrier
	drops     atomic.Uint32 // socket's drop counter, as accounted for

	wait *Waiter

	mu       sync.Mutex // guards the descriptor against use after Close
	running  bool
	closed   bool
	detached bool
}

// NewReader returns a Reader of fd, a datagram socket. On success the Reader
// owns fd and Close closes it. Nothing else may read from fd; setting options
// on it and sending are allowed.
//
// decode is called in Run's goroutine for each datagram, in order. It appends
// to b.Items what the datagram holds and counts in b.Rejected or b.Lost what
// it finds amiss. It must keep neither Message.Data nor b.
//
// Lost counts what the kernel dropped for want of receive buffer, exactly, by
// the socket's own counter (SO_MEMINFO, kernel 4.12). For a netlink socket set
// NETLINK_NO_ENOBUFS, or one overrun costs all messages until the queue is
// empty.
func NewReader[T any](fd int, decode func(m Message, b *Batch[T]), opt Options) (*Reader[T], error) {
	opt.setDefaults()
	if _, err := Drops(fd); err != nil {
		return nil, err
	}
	wait, err := NewWaiter(fd)
	if err != nil {
		return nil, err
	}
	r := &Reader[T]{
		fd:     fd,
		decode: decode,
		finish: func(*Batch[T]) {},
		opt:    opt,
		wait:   wait,
		// All batches fit the channel, so a send never blocks: Run waits for
		// a free batch before it reads, and never holds what it cannot deliver.
		out:  make(chan *Batch[T], opt.Queue),
		free: make(chan *Batch[T], opt.Queue),
	}
	r.rx.init(opt.Datagrams, opt.Size)
	r.drops.Store(opt.Drops)
	r.unread = true // the socket may be older than the Reader
	for range opt.Queue {
		r.free <- new(Batch[T])
	}
	return r, nil
}

// Finish sets a function that looks at each batch last, in Run's goroutine,
// when its Lost has been counted, and may add to it. It must be set before Run.
func (r *Reader[T]) Finish(f func(b *Batch[T])) { r.finish = f }

// Await reads until ok returns true after a look that found the socket empty,
// or until ctx ends, and then returns its error. It is for a conversation with
// the kernel that comes before Run: what it reads is decoded and kept, and is
// in the first batch that Run delivers.
func (r *Reader[T]) Await(ctx context.Context, ok func() bool) error {
	defer context.AfterFunc(ctx, r.wait.Wake)()
	if r.cur == nil {
		r.cur = <-r.free
	}
	for {
		n, err := r.take()
		if err != nil {
			return err
		}
		if n == 0 && ok() {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		if _, err := r.wait.Readable(); err != nil {
			return err
		}
	}
}

// Batches implements [Source].
func (r *Reader[T]) Batches() <-chan *Batch[T] { return r.out }

// Release implements [Source]. A Reader has Options.Queue batches and waits
// when all are with the consumer, so each batch must be released, once.
func (r *Reader[T]) Release(b *Batch[T]) {
	b.Reset()
	select {
	case r.free <- b:
	default:
		panic("stream: batch released twice")
	}
}

// Mark implements [Source].
func (r *Reader[T]) Mark(n uint64) {
	r.want.Store(n)
	r.wait.Wake()
}

// Descriptor returns the socket, which the Reader goes on owning. It may be
// sent on, or handed to another process.
func (r *Reader[T]) Descriptor() int { return r.fd }

// Drops returns how much of the socket's drop counter has been delivered as
// Lost. With Options.Drops it lets a later Reader of the same socket, maybe in
// another process, go on counting. Safe from any goroutine.
func (r *Reader[T]) Drops() uint32 { return r.drops.Load() }

// Detach gives the socket to the caller: Close will leave it open.
func (r *Reader[T]) Detach() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.detached = true
	return r.fd
}

// Close closes the socket. While Run is running it is an error and does
// nothing; so does calling it again.
func (r *Reader[T]) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return nil
	case r.running:
		return errors.New("close reader: Run has not returned")
	}
	r.closed = true
	err := r.wait.Close()
	if !r.detached {
		err = errors.Join(err, unix.Close(r.fd))
	}
	return err
}

// Run implements [Source]. All that it has read is delivered before the
// channel is closed, also when ctx ends: a consumer that receives until then
// misses nothing.
func (r *Reader[T]) Run(ctx context.Context) error {
	defer close(r.out)
	if err := r.begin(); err != nil {
		return err
	}
	defer r.end()
	defer context.AfterFunc(ctx, r.wait.Wake)()

	for {
		some, err := r.drain(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if !some {
			ready, err := r.wait.Readable()
			if err != nil {
				return err
			}
			if !ready {
				continue // there is no more to wait for
			}
		}
		if ctx.Err() != nil || r.want.Load() != r.delivered || r.opt.Pause < 0 {
			continue // no time to wait for more
		}
		if err := r.wait.Pause(r.opt.Pause); err != nil {
			return err
		}
	}
}

func (r *Reader[T]) begin() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errors.New("run reader: it is closed")
	}
	r.running = true
	return nil
}

func (r *Reader[T]) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running = false
}

// drain reads until the socket is empty and delivers everything. It reports
// whether there was anything.
func (r *Reader[T]) drain(ctx context.Context) (some bool, err error) {
	for {
		if err := r.room(ctx); err != nil {
			return some, errors.Join(err, r.deliver(0))
		}
		// A barrier holds if it was asked for before a look that finds the
		// queue empty, so take the number first.
		want := r.want.Load()
		n, err := r.take()
		if err != nil {
			return some, errors.Join(err, r.deliver(0))
		}
		some = some || n > 0
		if n < r.opt.Datagrams { // the kernel met the end of the queue
			return some, r.deliver(want)
		}
	}
}

// take decodes what one system call brings and returns how many datagrams that
// is, zero if the socket is empty.
func (r *Reader[T]) take() (int, error) {
	for {
		n, err := r.rx.receive(r.fd)
		switch err {
		case nil:
		case unix.EAGAIN:
			return 0, nil
		case unix.EINTR, unix.ENOBUFS: // the drop counter tells how many
			r.unread = true
			continue
		default:
			return 0, fmt.Errorf("receive from socket: %w", err)
		}
		for i := range n {
			r.decode(r.rx.message(i), r.cur)
		}
		r.unread = true
		return n, nil
	}
}

// room makes sure that the batch in the making can take one more system call's
// datagrams, and waits for a free one if need be.
func (r *Reader[T]) room(ctx context.Context) error {
	if r.cur != nil && len(r.cur.Items)+r.opt.Datagrams > r.opt.Items {
		if err := r.deliver(0); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.cur != nil {
		return nil
	}
	select {
	case r.cur = <-r.free:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// deliver sends the batch in the making if it says anything.
func (r *Reader[T]) deliver(barrier uint64) error {
	b := r.cur
	if b == nil {
		return nil
	}
	var err error
	if r.unread {
		r.unread = false
		var drops uint32
		if drops, err = Drops(r.fd); err == nil {
			b.Lost += uint64(drops - r.drops.Swap(drops)) // it may wrap
		}
	}
	r.finish(b)
	if barrier > r.delivered {
		r.delivered = barrier
		b.Barrier = barrier
	}
	if len(b.Items) > 0 || b.Lost > 0 || b.Rejected > 0 || b.Barrier > 0 {
		r.cur = nil
		r.out <- b
	}
	return err
}
