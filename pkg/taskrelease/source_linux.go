// SPDX-License-Identifier: Apache-2.0

package taskrelease

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"elsa/pkg/acct"
	"elsa/pkg/stream"
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

	ring    *ebpf.Map
	drops   *ebpf.Map
	counter *ebpf.Memory
	prog    *ebpf.Program
	link    link.Link
	reader  *ringbuf.Reader
	sample  ringbuf.Record

	*stream.Pump[acct.Record]        // nil until the ring is open
	lost                      uint64 // samples dropped, as delivered
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
	if err := s.attach(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("attach exact accounting: %w", explain(err))
	}
	return s, nil
}

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

func (s *Source) attach(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var err error
	s.ring, err = newMap(&ebpf.MapSpec{
		Name: "elsa_exact", Type: ebpf.RingBuf, MaxEntries: ringSize(s.cfg.RingBytes),
	})
	if err != nil {
		return fmt.Errorf("make ring buffer: %w", err)
	}
	s.drops, err = newMap(&ebpf.MapSpec{
		Name: "elsa_drops", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1, Flags: unix.BPF_F_MMAPABLE,
	})
	if err != nil {
		return fmt.Errorf("make drop counter: %w", err)
	}
	if s.prog, err = s.load(); err != nil {
		return err
	}
	if err := s.open(); err != nil {
		return err
	}
	if s.link, err = link.AttachTracing(link.TracingOptions{Program: s.prog}); err != nil {
		return fmt.Errorf("attach to sched_process_free: %w", err)
	}
	return nil
}

// load writes the program for the running kernel and the maps, and loads it.
func (s *Source) load() (*ebpf.Program, error) {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return nil, fmt.Errorf("read kernel's type information: %w", err)
	}
	types, err := findTypes(spec)
	if err != nil {
		return nil, err
	}
	program, missing, err := newProgram(types, "ring", "drops")
	if err != nil {
		return nil, err
	}
	s.missing = missing
	if err := program.Instructions.AssociateMap("ring", s.ring); err != nil {
		return nil, err
	}
	if err := program.Instructions.AssociateMap("drops", s.drops); err != nil {
		return nil, err
	}
	p, err := ebpf.NewProgram(program)
	if err != nil {
		return nil, fmt.Errorf("load program: %w", err)
	}
	return p, nil
}

// open makes the maps readable.
func (s *Source) open() (err error) {
	if s.counter, err = s.drops.Memory(); err != nil {
		return fmt.Errorf("map drop counter: %w", err)
	}
	if s.reader, err = ringbuf.NewReader(s.ring); err != nil {
		return fmt.Errorf("open ring buffer: %w", err)
	}
	s.reader.SetDeadline(time.Unix(1, 0)) // reads return what is there
	s.Pump, err = stream.NewPump(s.ring.FD(),
		stream.Feed[acct.Record]{Take: s.take, Finish: s.finish, Holding: s.holding},
		stream.PumpOptions{Take: takeItems, Items: batchItems, Queue: s.cfg.Queue, Pause: s.cfg.Pause})
	return err
}

// newMap makes a map. Kernels before 5.11 charge it to the locked-memory limit
// and then answer EPERM, so it tries once more without a limit.
func newMap(spec *ebpf.MapSpec) (*ebpf.Map, error) {
	m, err := ebpf.NewMap(spec)
	if !errors.Is(err, unix.EPERM) {
		return m, err
	}
	unlimited := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unlimited) != nil {
		return nil, err
	}
	return ebpf.NewMap(spec)
}

// ringSize rounds up to what the kernel takes: a power of two of pages.
func ringSize(bytes int) uint32 {
	size := os.Getpagesize()
	for size < bytes && size < 1<<30 {
		size *= 2
	}
	return uint32(size)
}

// explain adds the mend to errors that have one.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w (run as root or with CAP_BPF and CAP_PERFMON; before kernel 5.11 also CAP_SYS_RESOURCE)", err)
	case errors.Is(err, os.ErrNotExist), errors.Is(err, btf.ErrNotFound), errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("%w (it takes kernel 5.8 or later with CONFIG_DEBUG_INFO_BTF)", err)
	}
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
		if s.link != nil {
			errs = append(errs, s.link.Close())
		}
		if s.reader != nil {
			errs = append(errs, s.reader.Close())
		}
		if s.prog != nil {
			errs = append(errs, s.prog.Close())
		}
		for _, m := range []*ebpf.Map{s.ring, s.drops} {
			if m != nil {
				errs = append(errs, m.Close())
			}
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
		err := s.reader.ReadInto(&s.sample)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			b.Items = s.join.expire(b.Items, s.now())
			return n, true, nil
		}
		if err != nil {
			return n, false, fmt.Errorf("read ring buffer: %w", err)
		}
		var ok bool
		if b.Items, ok = s.join.add(b.Items, s.sample.RawSample, s.now()); !ok {
			b.Rejected++
		}
	}
	return n, false, nil
}

// finish counts in a batch what found the ring full since the last one.
func (s *Source) finish(b *stream.Batch[acct.Record]) error {
	s.partial.Store(s.join.incomplete)
	lost := s.dropped()
	b.Lost += lost - s.lost
	s.lost = lost
	return nil
}

// holding tells whether processes wait for their threads.
func (s *Source) holding() bool { return len(s.join.held) > 0 }

// now is a monotonic clock.
func (s *Source) now() int64 { return int64(time.Since(s.origin)) }

// dropped returns how many samples found the ring full.
func (s *Source) dropped() uint64 {
	var b [8]byte
	_, _ = s.counter.ReadAt(b[:], 0) // cannot fail: eight bytes are mapped
	return binary.NativeEndian.Uint64(b[:])
}
