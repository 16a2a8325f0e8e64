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

// Reader takes datagrams off a socket and delivers what they decode to: it is
// the [Pump] of a socket, with one [Outlet].
type Reader[T any] struct {
	*Pump
	*Outlet[T]
	fd     int
	decode func(Message, *Batch[T])
	finish func(*Batch[T])
	rx     receiver
	unread bool          // datagrams were taken since the drop counter was read
	drops  atomic.Uint32 // socket's drop counter, as accounted for

	mu       sync.Mutex // guards the descriptor against use after Close
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
	r := &Reader[T]{
		fd:     fd,
		decode: decode,
		finish: func(*Batch[T]) {},
		unread: true, // the socket may be older than the Reader
	}
	r.rx.init(opt.Datagrams, opt.Size)
	r.drops.Store(opt.Drops)
	var err error
	r.Outlet = NewOutlet(OutletOptions{Take: opt.Datagrams, Items: opt.Items, Queue: opt.Queue}, r.count)
	r.Pump, err = NewPump(fd, Queue{Take: r.take}, opt.Pause, r.Outlet)
	if err != nil {
		return nil, err
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
		n, _, err := r.take()
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

// Mark implements [Source].
func (r *Reader[T]) Mark(n uint64) { r.Pump.Mark(n) }

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
// nothing; calling it again does nothing.
func (r *Reader[T]) Close() error {
	err := r.Pump.Close()
	if errors.Is(err, errRunning) {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	if !r.detached {
		err = errors.Join(err, unix.Close(r.fd))
	}
	return err
}

// take decodes what one system call brings, and returns how many datagrams that
// is.
func (r *Reader[T]) take() (n int, empty bool, err error) {
	for {
		n, err := r.rx.receive(r.fd)
		switch err {
		case nil:
		case unix.EAGAIN:
			return 0, true, nil
		case unix.EINTR, unix.ENOBUFS: // the drop counter tells how many
			r.unread = true
			continue
		default:
			return 0, false, fmt.Errorf("receive from socket: %w", err)
		}
		for i := range n {
			r.decode(r.rx.message(i), r.cur)
		}
		r.unread = true
		return n, n < len(r.rx.hdrs), nil // fewer than asked for: the kernel met the end of the queue
	}
}

// count adds what the kernel dropped to a batch that is about to be delivered.
func (r *Reader[T]) count(b *Batch[T]) error {
	var err error
	if r.unread {
		r.unread = false
		var drops uint32
		if drops, err = Drops(r.fd); err == nil {
			b.Lost += uint64(drops - r.drops.Swap(drops)) // it may wrap
		}
	}
	r.finish(b)
	return err
}
