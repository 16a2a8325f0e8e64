// SPDX-License-Identifier: Apache-2.0

package taskrelease

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"elsa/pkg/acct"
	"elsa/pkg/stream"
	"elsa/pkg/tracepoint"
)

// Config shapes an [Source]. The zero value of each field means its
// default.
type Config struct {
	// RingBytes is the ring buffer between kernel and reader; rounded up to a
	// power of two of pages. A process takes 192 bytes of it, and a thread 80,
	// until it is read. Default 1 MiB for each CPU: 5400 processes, half a second
	// of what one can make. It counts as resident memory, and twice.
	RingBytes int
	// Pause is how long the source lets samples gather once one has come, and
	// so the delay that reading many at a time adds, unless Mark asks for them
	// sooner. Default 100ms.
	Pause time.Duration
	// Hold bounds how long the record of a process waits for those of its
	// threads that the kernel frees after the process itself. Default 200ms.
	Hold time.Duration
	// Queue is the number of batches in circulation. Default 16.
	Queue int
}

// Source delivers one [acct.Record] per process, with the CPU time that the
// scheduler measured, after the process was reaped and the kernel freed its
// last task. It is a [stream.Source]: one goroutine in Run, one consumer.
//
// The records come from a BPF program at the tracepoint sched_process_free,
// on any kernel from 5.8 that has type information and from any namespace.
// Pids are those of the initial pid namespace. While nothing ends, nothing
// runs; it allocates nothing per record.
//
// A record comes some 20 ms after the reap, once RCU has let go of the task, and
// later on a busy machine; a zombie has none. So an orphan's waits for init. A
// death may also have no record and no Lost: there are guest kernels that run no
// BPF program on top of process 1, and leave out what is freed there.
//
// MaxRSS is what wait4(2) says. It includes what the process held before it
// executed its program, so a child made by vfork starts with its parent's.
type Source struct {
	cfg     Config
	missing []string
	join    *sampleJoin
	origin  time.Time

	programs *tracepoint.Programs

	*stream.Pump[acct.Record] // nil until the ring is open
	partial                   atomic.Uint64
	closing                   sync.Once
}

const (
	batchItems = 256 // in a batch
	takeItems  = 64  // at a time: what comes meanwhile, and the end of the context, is seen then
)

// Dial loads the program and attaches it. From then on each death is kept
// for Run, also before Run is called. Close, or the end of Run, detaches it.
//
// It needs CAP_BPF and CAP_PERFMON (or root), and before kernel 5.11
// CAP_SYS_RESOURCE or a locked-memory limit above the ring's size. The error
// says what is missing.
func Dial(ctx context.Context, cfg Config) (*Source, error) {
	s := newSource(cfg)
	programs, err := s.write()
	if err == nil {
		s.programs, err = tracepoint.Attach(ctx, "elsa_exact", s.cfg.RingBytes, programs)
	}
	if err == nil {
		err = s.open()
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("attach exact accounting: %w", err)
	}
	return s, nil
}

// Resume goes on where another source of this boot ended, maybe in another
// process. lost is what Lost said there; figures of threads that were held back
// for their process then are lost. It fails if the program is not the one that
// this version makes. The handles are owned by the source, and closed also when
// it fails.
func Resume(h tracepoint.Handles, lost uint64, cfg Config) (*Source, error) {
	s := newSource(cfg)
	programs, err := s.write()
	if err == nil {
		s.programs, err = tracepoint.Resume(h, lost, programs)
	} else {
		h.Close()
	}
	if err == nil {
		err = s.open()
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("resume exact accounting: %w", err)
	}
	return s, nil
}

// Handles returns new descriptors of the source, for [Resume]; the caller
// closes them. It must be called before the source is closed, as it is by the end
// of Run.
func (s *Source) Handles() (tracepoint.Handles, error) { return s.programs.Handles() }

// Lost returns how many records were delivered as lost. It must not be called
// while Run is running.
func (s *Source) Lost() uint64 { return s.programs.Told() }

func newSource(cfg Config) *Source {
	if cfg.RingBytes <= 0 {
		cfg.RingBytes = min(runtime.NumCPU()<<20, 64<<20)
	}
	if cfg.Pause <= 0 {
		cfg.Pause = 100 * time.Millisecond
	}
	if cfg.Hold <= 0 {
		cfg.Hold = 200 * time.Millisecond
	}
	if cfg.Queue <= 0 {
		cfg.Queue = 16
	}
	return &Source{cfg: cfg, join: newSampleJoin(os.Getpagesize(), cfg.Hold), origin: time.Now()}
}

// write writes the program for the running kernel.
func (s *Source) write() ([]tracepoint.Program, error) {
	types, err := tracepoint.KernelTypes(fromTask, fromSignal, fromCred)
	if err != nil {
		return nil, tracepoint.Explain(err)
	}
	program, missing, err := newProgram(types)
	s.missing = missing
	return []tracepoint.Program{program}, err
}

// open makes the ring readable.
func (s *Source) open() (err error) {
	s.Pump, err = stream.NewPump(s.programs.FD(),
		stream.Feed[acct.Record]{Take: s.take, Finish: s.finish, Holding: s.holding},
		stream.PumpOptions{Take: takeItems, Items: batchItems, Queue: s.cfg.Queue, Pause: s.cfg.Pause})
	return err
}

// Missing names the kernel's fields that this kernel does not have. They are
// zero in all records.
func (s *Source) Missing() []string { return s.missing }

// Incomplete returns for how many processes, so far, the figures of some thread
// did not come in time. Their records hold what is known: the CPU time of those
// threads without what came after the scheduler's last tick, and none of their
// I/O. Safe from any goroutine.
func (s *Source) Incomplete() uint64 { return s.partial.Load() }

// Mark implements [stream.Source]. What the kernel has queued are the
// processes it has freed: that comes some milliseconds after the reap. A
// record held back for its threads may come after the barrier.
func (s *Source) Mark(n uint64) { s.Pump.Mark(n) }

// Close detaches the program and frees its memory. It must not be called while
// Run is running; calling it again does nothing.
func (s *Source) Close() error {
	var errs []error
	s.closing.Do(func() {
		if s.Pump != nil {
			errs = append(errs, s.Pump.Close())
		}
		if s.programs != nil {
			errs = append(errs, s.programs.Close())
		}
	})
	return errors.Join(errs...)
}

// Run implements [stream.Source], as [stream.Pump] does. It detaches the program
// when it returns.
func (s *Source) Run(ctx context.Context) error {
	defer s.Close()
	return s.Pump.Run(ctx)
}

// take reads some of what is in the ring, and once that is empty gives up
// waiting for threads whose time is over.
func (s *Source) take(b *stream.Batch[acct.Record]) (n int, empty bool, err error) {
	for ; n < takeItems; n++ {
		sample, ok, err := s.programs.Next()
		if err != nil {
			return n, false, err
		}
		if !ok {
			b.Items = s.join.expire(b.Items, s.now())
			return n, true, nil
		}
		if b.Items, ok = s.join.add(b.Items, sample, s.now()); !ok {
			b.Rejected++
		}
	}
	return n, false, nil
}

// finish counts in a batch what found the ring full since the last one.
func (s *Source) finish(b *stream.Batch[acct.Record]) error {
	s.partial.Store(s.join.incomplete)
	b.Lost += s.programs.Lost()
	return nil
}

// holding tells whether processes wait for their threads.
func (s *Source) holding() bool { return len(s.join.held) > 0 }

// now is a monotonic clock.
func (s *Source) now() int64 { return int64(time.Since(s.origin)) }
