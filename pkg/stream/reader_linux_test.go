// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// deadline bounds every wait; none is expected to come near it.
const deadline = 20 * time.Second

// number decodes the tests' datagrams, eight bytes each.
func number(m Message, b *Batch[uint64]) {
	if m.Truncated || len(m.Data) != 8 {
		b.Rejected++
		return
	}
	b.Items = append(b.Items, binary.NativeEndian.Uint64(m.Data))
}

func pair(t testing.TB) (reader, writer int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[1]) })
	return fds[0], fds[1]
}

func send(t testing.TB, fd int, n uint64) {
	t.Helper()
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], n)
	if _, err := unix.Write(fd, b[:]); err != nil {
		t.Fatalf("send %d: %v", n, err)
	}
}

// start runs a Reader of fd until the test ends. stop ends it and returns
// Run's error.
func start(t testing.TB, fd int, opt Options) (r *Reader[uint64], stop func() error) {
	t.Helper()
	r, err := NewReader(fd, number, opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = func() error {
		cancel()
		select {
		case err := <-done:
			done <- err
			return err
		case <-time.After(deadline):
			t.Fatal("Run did not return when its context ended")
			return nil
		}
	}
	t.Cleanup(func() {
		if err := stop(); err != nil && !t.Failed() {
			t.Errorf("Run: %v", err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return r, stop
}

func next(t testing.TB, r *Reader[uint64]) *Batch[uint64] {
	t.Helper()
	select {
	case b, ok := <-r.Batches():
		if !ok {
			t.Fatal("the channel was closed")
		}
		return b
	case <-time.After(deadline):
		t.Fatal("no batch came")
	}
	return nil
}

func TestReaderDeliversAllInOrder(t *testing.T) {
	const count, items = 20000, 256
	fd, w := pair(t)
	r, _ := start(t, fd, Options{Items: items, Queue: 3})
	failed := make(chan error, 1)
	go func() {
		for n := range uint64(count) {
			var b [8]byte
			binary.NativeEndian.PutUint64(b[:], n)
			if _, err := unix.Write(w, b[:]); err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	}()
	var want uint64
	for want < count {
		b := next(t, r)
		if len(b.Items) > items {
			t.Fatalf("a batch of %d items, want at most %d", len(b.Items), items)
		}
		if b.Lost != 0 || b.Rejected != 0 || b.Barrier != 0 {
			t.Fatalf("lost %d, rejected %d, barrier %d; want none", b.Lost, b.Rejected, b.Barrier)
		}
		for _, got := range b.Items {
			if got != want {
				t.Fatalf("item %d where %d was due", got, want)
			}
			want++
		}
		r.Release(b)
	}
	if err := <-failed; err != nil {
		t.Error(err)
	}
}

// A pause of an hour shows that Mark and the end of the context interrupt it,
// and that a barrier never overtakes what was queued before it.
func TestReaderBarrier(t *testing.T) {
	fd, w := pair(t)
	r, stop := start(t, fd, Options{Pause: time.Hour})
	var sent, got uint64
	for mark := uint64(1); mark <= 300; mark++ {
		for range mark % 7 { // sometimes nothing at all
			send(t, w, sent)
			sent++
		}
		r.Mark(mark)
		for {
			b := next(t, r)
			got += uint64(len(b.Items))
			barrier := b.Barrier
			r.Release(b)
			if barrier == mark {
				break
			}
			if barrier != 0 {
				t.Fatalf("barrier %d after mark %d", barrier, mark)
			}
		}
		if got != sent {
			t.Fatalf("mark %d: %d items before the barrier, want %d", mark, got, sent)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// Mark may come at any instant of a drain.
func TestReaderBarrierUnderLoad(t *testing.T) {
	const count = 50000
	fd, w := pair(t)
	r, _ := start(t, fd, Options{Pause: -1})
	failed := make(chan error, 1)
	go func() {
		b := make([]byte, 8)
		for n := uint64(1); n <= count; n++ {
			if _, err := unix.Write(w, b); err != nil {
				failed <- err
				return
			}
			r.Mark(n)
		}
		failed <- nil
	}()
	var items, barrier uint64
	for barrier < count {
		b := next(t, r)
		items += uint64(len(b.Items))
		if b.Barrier != 0 {
			if b.Barrier <= barrier {
				t.Fatalf("barrier %d after %d", b.Barrier, barrier)
			}
			barrier = b.Barrier
		}
		if items < barrier {
			t.Fatalf("barrier %d after %d items", barrier, items)
		}
		r.Release(b)
	}
	if err := <-failed; err != nil {
		t.Error(err)
	}
}

// A barrier is delivered once, and what comes without a Mark carries none.
func TestReaderBarrierOnce(t *testing.T) {
	fd, w := pair(t)
	r, _ := start(t, fd, Options{})
	r.Mark(1)
	b := next(t, r)
	if b.Barrier != 1 || len(b.Items) != 0 {
		t.Errorf("barrier %d with %d items, want 1 with none", b.Barrier, len(b.Items))
	}
	r.Release(b)
	for n := range uint64(3) {
		send(t, w, n)
		b := next(t, r)
		if b.Barrier != 0 || len(b.Items) != 1 {
			t.Errorf("barrier %d with %d items, want none with 1", b.Barrier, len(b.Items))
		}
		r.Release(b)
	}
}

func TestReaderRejects(t *testing.T) {
	fd, w := pair(t)
	r, _ := start(t, fd, Options{Size: 8})
	for _, size := range []int{8, 17, 16, 0, 100, 8} {
		if _, err := unix.SendmsgN(w, make([]byte, size), nil, nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	r.Mark(1)
	var items int
	var rejected uint64
	for {
		b := next(t, r)
		items += len(b.Items)
		rejected += b.Rejected
		barrier := b.Barrier
		r.Release(b)
		if barrier == 1 {
			break
		}
	}
	if items != 2 || rejected != 4 {
		t.Errorf("%d items and %d rejected, want 2 and 4", items, rejected)
	}
}

// A UDP socket drops what does not fit, as a netlink group member does.
func TestReaderCountsLossExactly(t *testing.T) {
	fd, w := udp(t)
	const sent = 5000
	for n := range uint64(sent) {
		send(t, w, n)
	}
	r, _ := start(t, fd, Options{})
	r.Mark(1)
	items, lost := 0, uint64(0)
	for barrier := uint64(0); barrier == 0; {
		b := next(t, r)
		items += len(b.Items)
		lost += b.Lost
		barrier = b.Barrier
		r.Release(b)
	}
	if lost == 0 || items == 0 || uint64(items)+lost != sent {
		t.Errorf("%d delivered and %d lost of %d sent", items, lost, sent)
	}
	if got := uint64(r.Drops()); got != lost {
		t.Errorf("Drops() = %d, want %d", got, lost)
	}
}

// A later Reader of the same socket reports only the loss that is new.
func TestReaderContinues(t *testing.T) {
	fd, w := udp(t)
	lost := func(opt Options) (uint64, *Reader[uint64]) {
		r, stop := start(t, fd, opt)
		r.Detach()
		r.Mark(1)
		var n uint64
		for barrier := uint64(0); barrier == 0; {
			b := next(t, r)
			n += b.Lost
			barrier = b.Barrier
			r.Release(b)
		}
		stop()
		return n, r
	}
	for n := range uint64(5000) {
		send(t, w, n)
	}
	first, r := lost(Options{})
	if first == 0 {
		t.Fatal("nothing was lost")
	}
	if second, _ := lost(Options{Drops: r.Drops()}); second != 0 {
		t.Errorf("second Reader reports %d lost, want 0: the first reported %d", second, first)
	}
	if again, _ := lost(Options{}); again != first {
		t.Errorf("a Reader that starts from zero reports %d lost, want %d", again, first)
	}
	unix.Close(fd)
}

func udp(t *testing.T) (reader, writer int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 16<<10); err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	w, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(w) })
	if err := unix.Connect(w, sa); err != nil {
		t.Fatal(err)
	}
	return fd, w
}

// With every batch at a consumer that has stopped, the end of the context
// still ends Run, and what was not delivered is still in the socket.
func TestReaderStopsWithoutLoss(t *testing.T) {
	const items, queue = 4, 2
	fd, w := pair(t)
	r, stop := start(t, fd, Options{Items: items, Datagrams: items, Queue: queue, Pause: -1})
	r.Detach()
	defer unix.Close(fd)
	const sent = 3 * items
	for n := range uint64(sent) {
		send(t, w, n)
	}
	var got uint64
	count := func(b *Batch[uint64]) {
		for _, n := range b.Items {
			if n != got {
				t.Errorf("item %d where %d was due", n, got)
			}
			got++
		}
	}
	for range queue {
		count(next(t, r)) // and keep it
	}
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	for b := range r.Batches() {
		count(b)
	}
	for {
		var b [8]byte
		n, _, err := unix.Recvfrom(fd, b[:], unix.MSG_DONTWAIT)
		if err == unix.EAGAIN {
			break
		}
		if err != nil || n != 8 {
			t.Fatalf("read the rest: %d bytes, %v", n, err)
		}
		if v := binary.NativeEndian.Uint64(b[:]); v != got {
			t.Errorf("left in the socket: %d where %d was due", v, got)
		}
		got++
	}
	if got != sent {
		t.Errorf("%d of %d accounted for", got, sent)
	}
}

// What Await reads is neither lost nor delivered twice, and what Finish adds
// arrives.
func TestReaderAwait(t *testing.T) {
	fd, w := pair(t)
	var sum uint64
	r, err := NewReader(fd, func(m Message, b *Batch[uint64]) {
		number(m, b)
		sum += b.Items[len(b.Items)-1]
	}, Options{Items: 2, Datagrams: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.Finish(func(b *Batch[uint64]) { b.Lost += uint64(len(b.Items)) })
	for n := range uint64(4) {
		send(t, w, n)
	}
	if err := r.Await(t.Context(), func() bool { return true }); err != nil || sum != 0+1+2+3 {
		t.Fatalf("Await with all there: %v, sum %d", err, sum)
	}
	go unix.Write(w, []byte{4, 7: 4})
	if err := r.Await(t.Context(), func() bool { return sum > 6 }); err != nil {
		t.Fatalf("Await of one more: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Await(ctx, func() bool { return false }); err != context.Canceled {
		t.Fatalf("Await with an ended context: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.Mark(1)
	var items, lost int
	for barrier := uint64(0); barrier == 0; {
		b := next(t, r)
		items += len(b.Items)
		lost += int(b.Lost)
		barrier = b.Barrier
		r.Release(b)
	}
	if items != 5 || lost != 5 {
		t.Errorf("%d items and %d lost delivered, want 5 and 5", items, lost)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// The context may end while a drain is under way.
func TestReaderStopsInDrain(t *testing.T) {
	fd, w := pair(t)
	const sent = 8
	for n := range uint64(sent) {
		send(t, w, n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := NewReader(fd, func(m Message, b *Batch[uint64]) {
		number(m, b)
		cancel()
	}, Options{Datagrams: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
	var got []uint64
	for b := range r.Batches() {
		got = append(got, b.Items...)
	}
	if len(got) != 4 {
		t.Errorf("delivered %v, want the four that were read", got)
	}
}

func TestReaderSleepsWhenIdle(t *testing.T) {
	fd, w := pair(t)
	r, _ := start(t, fd, Options{})
	send(t, w, 1)
	r.Release(next(t, r))
	r.Mark(1)
	r.Release(next(t, r))
	// A little is due until the pause is over; then nothing.
	for try := 0; ; try++ {
		before := r.wait.looks.Load()
		time.Sleep(100 * time.Millisecond) // sleep: nothing may happen meanwhile
		after := r.wait.looks.Load()
		if after == before {
			break
		}
		if try == 20 {
			t.Fatalf("the reader wakes up while nothing comes: %d times in 100ms", after-before)
		}
	}
	send(t, w, 2)
	r.Release(next(t, r)) // and it wakes when something does
}

// While messages gather the reader sleeps on: it wakes once for the first, and
// then after each pause.
func TestReaderWakesNotForEachMessage(t *testing.T) {
	fd, w := pair(t)
	r, _ := start(t, fd, Options{Pause: time.Hour})
	r.Mark(1)
	r.Release(next(t, r))
	before := r.wait.looks.Load()
	const count = 50
	for n := range uint64(count) {
		send(t, w, n)
		time.Sleep(time.Millisecond) // sleep: it has time to wake
	}
	r.Mark(2)
	items := 0
	for barrier := uint64(0); barrier == 0; {
		b := next(t, r)
		items += len(b.Items)
		barrier = b.Barrier
		r.Release(b)
	}
	if n := r.wait.looks.Load() - before; items != count || n > 8 {
		t.Errorf("%d items after %d looks, want %d after 8 or fewer", items, n, count)
	}
}

func TestReaderAllocatesNothing(t *testing.T) {
	fd, w := pair(t)
	r, _ := start(t, fd, Options{Pause: -1})
	buf := make([]byte, 8)
	run := func(count int) {
		got := 0
		for sent := range count {
			if _, err := unix.Write(w, buf); err != nil {
				t.Fatal(err)
			}
			for got < sent-100 { // the writer is not far ahead
				b := <-r.Batches()
				got += len(b.Items)
				r.Release(b)
			}
		}
		for got < count {
			b := <-r.Batches()
			got += len(b.Items)
			r.Release(b)
		}
	}
	run(50000) // batches grow to their size
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const count = 50000
	run(count)
	runtime.ReadMemStats(&after)
	// The runtime itself allocates now and then.
	if n := after.Mallocs - before.Mallocs; n > count/100 {
		t.Errorf("%d allocations for %d datagrams", n, count)
	}
}

func TestReaderErrors(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := NewReader(int(f.Fd()), number, Options{}); !errors.Is(err, unix.ENOTSOCK) {
		t.Errorf("NewReader of a file: %v, want ENOTSOCK", err)
	}
	// A refused datagram leaves its error on the socket.
	fd, w := udp(t)
	unix.Close(fd)
	r, err := NewReader(w, number, Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.Detach()
	defer r.Close()
	send(t, w, 1)
	done := make(chan error, 1)
	go func() { done <- r.Run(t.Context()) }()
	select {
	case err := <-done:
		if !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("Run: %v, want ECONNREFUSED", err)
		}
	case <-time.After(deadline):
		t.Fatal("Run does not return on an error")
	}
	if _, ok := <-r.Batches(); ok {
		t.Error("the channel is open after Run returned")
	}
}

func TestReaderClose(t *testing.T) {
	fd, w := pair(t)
	r, err := NewReader(fd, number, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Detach(); got != fd || got != r.Descriptor() {
		t.Errorf("Detach() = %d, Descriptor() = %d, want %d", got, r.Descriptor(), fd)
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	// Mark must not write to what has the descriptor now.
	var heirs []int
	for len(heirs) < 8 {
		heir, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(heir)
		heirs = append(heirs, heir)
	}
	r.Mark(1)
	for _, heir := range heirs {
		if _, err := unix.Read(heir, make([]byte, 8)); err != unix.EAGAIN {
			t.Errorf("Mark after Close wrote to a foreign descriptor: %v", err)
		}
	}
	send(t, w, 1)
	if _, err := unix.Read(fd, make([]byte, 8)); err != nil {
		t.Errorf("the detached socket does not work: %v", err)
	}
	unix.Close(fd)

	if err := r.Run(t.Context()); err == nil {
		t.Error("Run of a closed Reader returns no error")
	}

	fd, w = pair(t)
	running, _ := start(t, fd, Options{})
	send(t, w, 1)
	running.Release(next(t, running))
	if err := running.Close(); err == nil {
		t.Error("Close while Run is running returns no error")
	}
	send(t, w, 2) // the socket is still there
	running.Release(next(t, running))

	fd, w = pair(t)
	if r, err = NewReader(fd, number, Options{}); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(w, []byte("12345678")); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("write to a closed reader: %v, want ECONNREFUSED", err)
	}
}

func TestReaderReleaseTwice(t *testing.T) {
	fd, w := pair(t)
	r, _ := start(t, fd, Options{Queue: 2})
	send(t, w, 1)
	b := next(t, r)
	r.Release(b)
	defer func() {
		if recover() == nil {
			t.Error("a second Release of the same batch went unnoticed")
		}
	}()
	for range 3 {
		r.Release(b)
	}
}

var _ Source[int] = (*Reader[int])(nil)
