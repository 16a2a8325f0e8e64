// SPDX-License-Identifier: Apache-2.0

package tracepoint

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cilium/ebpf"

	"elsa/pkg/stream"
)

// Config shapes a [Source]. The zero value of each field means its default.
type Config struct {
	// RingBytes is the ring buffer between kernel and reader, rounded up to a power
	// of two of pages; the kernel takes all of it at once. Of it a process takes 80
	// bytes with its events, 136 if it executes a program, and 184 with its release.
	// They stay until they are freed; see [Source.Free]. Default 64 MiB: 10 seconds of
	// 20,000 processes a second that execute a program. A window of 512 KiB of it is
	// resident memory of the reader.
	RingBytes int
	// Pause is how long samples may gather once one has come: the delay that reading
	// many at a time adds, unless Mark asks for them sooner. Default 5 ms, and 100 ms
	// where there are releases alone.
	Pause time.Duration
}

// Source is programs that run, the ring that they write to, and its one reader, for
// the lanes that it was opened with.
type Source struct {
	programs programs
	written  []Program
	state    *state
	ring     *ring
	pump     *stream.Pump
	lanes    []lane
	id       uint32
	releases bool // there are no events, by which the reader is woken
	running  sync.Once
	err      error // of Run
	closing  sync.Once
}

// Open loads the programs of the lanes and attaches them. From then on each sample is
// kept until it is read. Close, or the end of Run, detaches them.
//
// It needs kernel 5.8 with type information (CONFIG_DEBUG_INFO_BTF), and CAP_BPF and
// CAP_PERFMON (or root), before kernel 5.11 also CAP_SYS_RESOURCE or a locked-memory
// limit above the ring's size. The error says what is missing.
func Open(ctx context.Context, cfg Config, lanes ...lane) (*Source, error) {
	s, err := newSource(lanes)
	if err == nil {
		err = ctx.Err()
	}
	if cfg.RingBytes <= 0 {
		cfg.RingBytes = 64 << 20
	}
	if err == nil {
		err = Explain(s.programs.attach(cfg.RingBytes, s.written))
	}
	return s.begin(cfg, err)
}

// Resume goes on where another source of this boot ended, maybe in another process:
// with the lanes' cursors. It fails if the programs are not those that this version
// makes for the lanes, or what comes after the cursors is not in the ring. The handles
// are owned by the source, and closed also when it fails.
func Resume(h Handles, cfg Config, lanes ...lane) (*Source, error) {
	defer h.Close() // what is left
	s, err := newSource(lanes)
	if err == nil {
		err = s.programs.resume(h, s.written)
	}
	s, err = s.begin(cfg, err)
	if err != nil {
		return nil, err
	}
	pos := s.ring.written()
	for _, l := range lanes {
		pos = min(pos, l.begin().Position)
	}
	for _, l := range lanes {
		if at := l.begin().Position; at < s.ring.freed() || at > s.ring.written() {
			err = fmt.Errorf("resume bpf programs: the ring has %d to %d, and reading ended at %d", s.ring.freed(), s.ring.written(), at)
			return nil, errors.Join(err, s.Close())
		}
	}
	s.ring.pos = pos
	return s, nil
}

func newSource(lanes []lane) (*Source, error) {
	s := &Source{lanes: lanes, releases: true}
	for _, l := range lanes {
		written, err := l.of(s, len(s.written))
		if err != nil {
			return s, Explain(err)
		}
		s.written = append(s.written, written...)
		s.releases = s.releases && l.kind() == Release
	}
	return s, nil
}

// begin makes the source readable, unless err says that it is not to be.
func (s *Source) begin(cfg Config, err error) (*Source, error) {
	if cfg.Pause <= 0 {
		cfg.Pause = 5 * time.Millisecond
		if s.releases {
			cfg.Pause = 100 * time.Millisecond
		}
	}
	if err == nil {
		s.id, err = s.programs.id()
	}
	if err == nil {
		s.state, err = openState(s.programs.state.FD())
	}
	if err == nil {
		s.ring, err = openRing(s.programs.ring.FD(), uint64(s.programs.ring.MaxEntries()), s.state)
	}
	if err == nil {
		s.pump, err = s.newPump(cfg.Pause)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("attach bpf programs: %w", err), s.Close())
	}
	return s, nil
}

func (s *Source) newPump(pause time.Duration) (*stream.Pump, error) {
	queue := stream.Queue{Take: s.take, Holding: s.holding, Arm: func() bool { return s.ring.arm(s.releases) }}
	outlets := make([]stream.AnyOutlet, len(s.lanes))
	for i, l := range s.lanes {
		outlets[i] = l.outlet()
	}
	return stream.NewPump(s.ring.bell, queue, pause, outlets...)
}

// Peek calls f for each sample in the ring until it returns true, before Run, which
// will read them again, and reports whether it did.
func (s *Source) Peek(f func(sample []byte) bool) (found bool, err error) {
	defer func(pos uint64) { s.ring.pos = pos }(s.ring.pos)
	for {
		sample, _, ok, err := s.ring.next()
		if err != nil || !ok {
			return false, err
		}
		if f(sample) {
			return true, nil
		}
	}
}

// Run reads for all lanes until ctx is done, or fails; called again it waits for
// that, and returns the same. It detaches the programs when it returns, unless their
// handles are kept.
func (s *Source) Run(ctx context.Context) error {
	s.running.Do(func() { s.err = errors.Join(s.pump.Run(ctx), s.Close()) })
	return s.err
}

// ID is the ring's in the kernel, unique within a boot.
func (s *Source) ID() uint32 { return s.id }

// Free lets the kernel overwrite what is before a position, in bytes as a cursor has
// it: nobody will read it again. Safe from any goroutine, also after Close.
func (s *Source) Free(before uint64) { s.ring.free(before) }

// Kept is how much of the ring is neither free nor lost, of how much, in bytes. Safe
// from any goroutine while Run is running.
func (s *Source) Kept() (bytes, of uint64) { return s.ring.kept() }

// Programs are those that run, in their order, for what the kernel tells of them. They
// stay the source's.
func (s *Source) Programs() []*ebpf.Program { return s.programs.loaded }

// Close detaches the programs and frees their memory, unless their handles are kept.
// It must not be called while Run is running; calling it again does nothing.
func (s *Source) Close() error {
	var errs []error
	s.closing.Do(func() {
		if s.pump != nil {
			errs = append(errs, s.pump.Close())
		}
		if s.ring != nil {
			errs = append(errs, s.ring.close())
		}
		if s.state != nil {
			errs = append(errs, s.state.close())
		}
		errs = append(errs, s.programs.close())
	})
	return errors.Join(errs...)
}

// take reads some of what is in the ring.
func (s *Source) take() (n int, empty bool, err error) {
	for ; n < takeItems; n++ {
		sample, at, ok, err := s.ring.next()
		if err != nil {
			return n, false, err
		}
		if !ok {
			for _, l := range s.lanes {
				l.expire()
			}
			return n, true, nil
		}
		s.give(sample, at)
	}
	return n, false, nil
}

// give hands a sample to the lane whose it is.
func (s *Source) give(sample []byte, at uint64) {
	for _, l := range s.lanes {
		if l.add(sample, at) {
			return
		}
	}
	for _, l := range s.lanes {
		if at < l.begin().Position {
			return // of a lane that knows it
		}
	}
	s.lanes[0].reject()
}

func (s *Source) holding() bool {
	for _, l := range s.lanes {
		if l.holding() {
			return true
		}
	}
	return false
}
