// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// queue is a kernel queue behind an eventfd.
type queue struct {
	fd    int
	items chan int
}

func newQueue(t *testing.T) *queue {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return &queue{fd, make(chan int, 100)}
}

func (q *queue) put(t *testing.T, n int) {
	t.Helper()
	q.items <- n
	if _, err := unix.Write(q.fd, ring); err != nil {
		t.Fatal(err)
	}
}

// get takes one item.
func (q *queue) get() (n int, ok bool) {
	select {
	case n = <-q.items:
		return n, true
	default:
		_, _ = unix.Read(q.fd, make([]byte, 8)) // there is no more to poll for
		select {
		case n = <-q.items: // it came meanwhile
			return n, true
		default:
			return 0, false
		}
	}
}

// source is a pump with one outlet.
type source struct {
	*Pump
	*Outlet[int]
}

func (s *source) Mark(n uint64) { s.Pump.Mark(n) }

// feed reads a queue into the batches of one outlet.
type feed struct {
	take    func(b *Batch[int]) (int, bool, error)
	finish  func(*Batch[int]) error
	holding func() bool
}

func newSource(q *queue, f feed, opt OutletOptions, pause time.Duration) (s *source, err error) {
	s = &source{Outlet: NewOutlet(opt, f.finish)}
	s.Pump, err = NewPump(q.fd, Queue{
		Take: func() (int, bool, error) { return f.take(s.Batch()) }, Holding: f.holding,
	}, pause, s.Outlet)
	return s, err
}

// run starts a pump, and stops it when the test ends.
func run(t *testing.T, q *queue, f feed, opt OutletOptions, pause time.Duration) *source {
	t.Helper()
	p, err := newSource(q, f, opt, pause)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return p
}

func receive(t *testing.T, p *source) (b Batch[int]) {
	t.Helper()
	select {
	case got, ok := <-p.Batches():
		if !ok {
			t.Fatal("the channel is closed")
		}
		b = *got
		b.Items = slices.Clone(b.Items)
		p.Release(got)
	case <-time.After(deadline):
		t.Fatal("no batch came")
	}
	return b
}

// A feed may hold an item back until nothing comes any more: it is looked at
// again and again while it does, without anything that wakes Run.
func TestPumpHolding(t *testing.T) {
	q := newQueue(t)
	held, looks := 0, 0
	p := run(t, q, feed{
		take: func(b *Batch[int]) (int, bool, error) {
			n, ok := q.get()
			switch {
			case ok:
				held, looks = n, 0
				return 1, false, nil
			case held != 0:
				if looks++; looks == 5 {
					b.Items = append(b.Items, held)
					held = 0
				}
			}
			return 0, true, nil
		},
		finish:  func(*Batch[int]) error { return nil },
		holding: func() bool { return held != 0 },
	}, OutletOptions{Take: 1, Items: 4, Queue: 2}, time.Millisecond)
	for n := 1; n < 4; n++ {
		q.put(t, n)
		if b := receive(t, p); !slices.Equal(b.Items, []int{n}) {
			t.Errorf("got %v, want %d", b.Items, n)
		}
	}
}

// Batches are full before they are delivered, what Finish counts is in the batch
// it was given, and a barrier comes behind all that was queued.
func TestPumpBatches(t *testing.T) {
	q := newQueue(t)
	for n := range 10 {
		q.put(t, n)
	}
	p := run(t, q, feed{
		take: func(b *Batch[int]) (int, bool, error) {
			n, ok := q.get()
			if ok {
				b.Items = append(b.Items, n)
				return 1, false, nil
			}
			return 0, true, nil
		},
		finish: func(b *Batch[int]) error { b.Lost = uint64(len(b.Items)); return nil },
	}, OutletOptions{Take: 1, Items: 4, Queue: 8}, time.Hour)
	p.Mark(7)
	var items []int
	for barrier := uint64(0); barrier != 7; {
		b := receive(t, p)
		items, barrier = append(items, b.Items...), b.Barrier
		if len(b.Items) > 4 || b.Lost != uint64(len(b.Items)) {
			t.Errorf("batch of %d, %d lost", len(b.Items), b.Lost)
		}
	}
	if !slices.Equal(items, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
		t.Errorf("before the barrier came %v", items)
	}
}

// An error of the feed ends Run, behind what was taken.
func TestPumpError(t *testing.T) {
	q := newQueue(t)
	broken := errors.New("broken")
	p, err := newSource(q, feed{
		take:   func(b *Batch[int]) (int, bool, error) { b.Items = append(b.Items, 1); return 1, false, broken },
		finish: func(*Batch[int]) error { return nil },
	}, OutletOptions{Take: 1, Items: 4, Queue: 2}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Run(t.Context()); !errors.Is(err, broken) {
		t.Errorf("Run: %v, want the feed's error", err)
	}
	if b := receive(t, p); !slices.Equal(b.Items, []int{1}) {
		t.Errorf("got %v, want what came before the error", b.Items)
	}
	if _, ok := <-p.Batches(); ok {
		t.Error("the channel is open after Run returned")
	}
}
