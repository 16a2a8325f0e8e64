// SPDX-License-Identifier: Apache-2.0

package tracepoint

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring reads the kernel's ring buffer (kernel/bpf/ringbuf.c): a page with the
// consumer's position, one with the producer's, and the data, in which each sample
// has a header of 8 bytes and takes a multiple of 8. Positions grow for ever; their
// remainder by the size is the place.
//
// It is not [github.com/cilium/ebpf/ringbuf], which tells the kernel of each sample
// that it may be overwritten, and maps the ring as a whole, twice. Here a sample
// stays until free is called, so that a later run can read it again, and a window of
// the data is mapped, since what is mapped counts as resident memory.
type ring struct {
	fd       int
	size     uint64
	state    *state
	consumer []byte // the page, which may be written
	producer []byte // the page
	window   []byte
	shown    uint64 // the place in the data where the window is
	pos      uint64 // behind the last sample that was read
	apart    []byte // a sample that does not lie in one window
	bell     int    // an epoll instance that is readable when the kernel rang
	rings    [1]unix.EpollEvent
	mu       sync.Mutex // guards free against close
	closed   bool
}

// windowBytes is how much of a ring is mapped; tests map less.
var windowBytes uint64 = 512 << 10

// In a sample's header.
const (
	headerBytes = 8
	busyBit     = 1 << 31 // it is being written
	discardBit  = 1 << 30 // it is none
)

// openRing opens the ring buffer behind fd, which stays the caller's.
func openRing(fd int, size uint64, s *state) (_ *ring, err error) {
	r := &ring{fd: fd, size: size, state: s, bell: -1}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open ring buffer: %w", err), r.close())
		}
	}()
	page := os.Getpagesize()
	if r.consumer, err = unix.Mmap(fd, 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, err
	}
	if r.producer, err = unix.Mmap(fd, int64(page), page, unix.PROT_READ, unix.MAP_SHARED); err != nil {
		return nil, err
	}
	if r.window, err = unix.Mmap(fd, int64(2*page), int(min(windowBytes, size)), unix.PROT_READ, unix.MAP_SHARED); err != nil {
		return nil, err
	}
	// What was read and not freed makes the ring's descriptor readable all the time;
	// edge-triggered it tells of each ring of the bell once.
	if r.bell, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	err = unix.EpollCtl(r.bell, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET&0xffffffff, Fd: int32(fd)})
	r.pos = r.freed()
	return r, err
}

// word is the kernel's position at the start of a page.
func word(page []byte) *uint64 { return (*uint64)(unsafe.Pointer(unsafe.SliceData(page))) }

// written is behind the last sample that was begun.
func (r *ring) written() uint64 { return atomic.LoadUint64(word(r.producer)) }

// freed is up to where the kernel may overwrite samples.
func (r *ring) freed() uint64 { return atomic.LoadUint64(word(r.consumer)) }

// free lets the kernel overwrite what is before a position. Safe from any goroutine;
// after close it does nothing.
func (r *ring) free(to uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed && to > r.freed() {
		atomic.StoreUint64(word(r.consumer), to)
	}
}

// kept is how much is neither free nor lost, and of how much.
func (r *ring) kept() (bytes, of uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, r.size
	}
	return r.written() - r.freed(), r.size
}

// next reads the next sample, which is valid until the call after, and where it
// began. ok is false when there is none, or it is not complete.
func (r *ring) next() (sample []byte, at uint64, ok bool, err error) {
	for r.pos < r.written() {
		header, err := r.at(r.pos, headerBytes) // its place is a multiple of 8: it lies in one window
		if err != nil {
			return nil, 0, false, err
		}
		length := atomic.LoadUint32((*uint32)(unsafe.Pointer(unsafe.SliceData(header))))
		if length&busyBit != 0 {
			return nil, 0, false, nil
		}
		at, bytes := r.pos, uint64(length&^discardBit)
		if length&discardBit == 0 {
			if sample, err = r.at(at+headerBytes, bytes); err != nil {
				return nil, 0, false, err
			}
		}
		r.pos = at + (headerBytes+bytes+7)&^7
		if length&discardBit == 0 {
			return sample, at, true, nil
		}
	}
	return nil, 0, false, nil
}

// at returns the bytes at a position.
func (r *ring) at(pos, bytes uint64) ([]byte, error) {
	if err := r.show(pos & (r.size - 1)); err != nil {
		return nil, err
	}
	from := pos&(r.size-1) - r.shown
	if from+bytes <= uint64(len(r.window)) {
		return r.window[from : from+bytes], nil
	}
	r.apart = append(r.apart[:0], r.window[from:]...)
	for have := uint64(len(r.apart)); have < bytes; have = uint64(len(r.apart)) {
		if err := r.show((pos + have) & (r.size - 1)); err != nil {
			return nil, err
		}
		r.apart = append(r.apart, r.window[:min(bytes-have, uint64(len(r.window)))]...)
	}
	return r.apart, nil
}

// show moves the window to where a place is.
func (r *ring) show(place uint64) error {
	to := place &^ (uint64(len(r.window)) - 1)
	if to == r.shown {
		return nil
	}
	_, err := unix.MmapPtr(r.fd, int64(2*os.Getpagesize())+int64(to), unsafe.Pointer(unsafe.SliceData(r.window)), uintptr(len(r.window)),
		unix.PROT_READ, unix.MAP_SHARED|unix.MAP_FIXED)
	if err != nil {
		return fmt.Errorf("read ring buffer: move window: %w", err)
	}
	r.shown = to
	return nil
}

// arm asks the programs to ring the bell with the next sample. It returns true if
// there is one by now.
func (r *ring) arm(releases bool) (some bool) {
	_, _ = unix.EpollWait(r.bell, r.rings[:], 0) // what was rung before
	r.state.store(stateAwake, 1)
	if releases {
		r.state.store(stateAwakeReleases, 1)
	}
	// Either a program sees that, after it has completed a sample, or it did so before
	// and the sample is seen here.
	if r.pos >= r.written() {
		return false
	}
	header, err := r.at(r.pos, headerBytes)
	return err != nil || atomic.LoadUint32((*uint32)(unsafe.Pointer(unsafe.SliceData(header))))&busyBit == 0
}

func (r *ring) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	var errs []error
	for _, m := range [][]byte{r.consumer, r.producer, r.window} {
		if m != nil {
			errs = append(errs, unix.Munmap(m))
		}
	}
	if r.bell >= 0 {
		errs = append(errs, unix.Close(r.bell))
	}
	return errors.Join(errs...)
}
