// SPDX-License-Identifier: Apache-2.0

package taskevent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"elsa/pkg/cnfork"
	"elsa/pkg/stream"
	"elsa/pkg/tracepoint"
)

// Config shapes a [Source]. The zero value of each field means its default.
type Config struct {
	// RingBytes is the ring buffer between kernel and reader, rounded up to a power
	// of two of pages. A process that executes a program takes 128 bytes of it until
	// they are read, and one that does not 72. Default 32 MiB: 10 seconds of 20,000
	// processes a second. It counts as resident memory, and twice.
	RingBytes int
	// Pause is how long events may gather once one has come: the delay that reading
	// many at a time adds, unless Mark asks for them sooner. Default 5ms.
	Pause time.Duration
	// Queue is the number of batches in circulation. Default 16.
	Queue int
}

const (
	batchItems = 1024 // in a batch
	takeItems  = 64   // at a time
)

func (cfg *Config) setDefaults() {
	if cfg.RingBytes <= 0 {
		cfg.RingBytes = 32 << 20
	}
	if cfg.Pause <= 0 {
		cfg.Pause = 5 * time.Millisecond
	}
	if cfg.Queue <= 0 {
		cfg.Queue = 16
	}
}

// Source delivers an event for each process that is forked, executes a program, or
// ends with its last thread; threads have none. It is a [stream.Source]: one
// goroutine in Run, one consumer. It allocates nothing per event.
//
// Events are in the order in which they happened to a process: its fork is before
// all else, and before its parent learns of it; its end is before the next fork of
// its pid. The end is told when the process begins to end: from Linux 6.16 on
// its memory is freed, its accounting record written and its zombie made only
// after that, which takes 75 ms for each GiB.
//
// There are guest kernels that run no BPF program on top of process 1; what that
// forks is not told there, and not counted as lost.
type Source struct {
	programs *tracepoint.Programs
	early    []cnfork.Event // read while the source was proven

	*stream.Pump[cnfork.Event] // nil until the ring is open
	closing                    sync.Once
}

// Dial attaches the programs and makes sure that events arrive: that of a child that
// it forks must come. From then on each event is kept for Run. Close, or the end of
// Run, detaches them.
//
// It takes kernel 5.8 with type information (CONFIG_DEBUG_INFO_BTF), and CAP_BPF and
// CAP_PERFMON (or root), before kernel 5.11 also CAP_SYS_RESOURCE or a locked-memory
// limit above the ring's size. Any namespace will do; pids are those of the initial
// one. The error says what is missing.
func Dial(ctx context.Context, cfg Config) (*Source, error) {
	cfg.setDefaults()
	s := &Source{}
	all, err := programs()
	if err == nil {
		s.programs, err = tracepoint.Attach(ctx, "elsa_events", cfg.RingBytes, all)
	}
	return s.begin(err, cfg)
}

// Resume goes on where another source of this boot ended, maybe in another process;
// lost is what Lost said there. It fails if the programs are not those that this
// version makes, or no events arrive. The handles are owned by the source, and
// closed also when it fails.
func Resume(h tracepoint.Handles, lost uint64, cfg Config) (*Source, error) {
	cfg.setDefaults()
	s := &Source{}
	all, err := programs()
	if err == nil {
		s.programs, err = tracepoint.Resume(h, lost, all)
	} else {
		h.Close()
	}
	return s.begin(err, cfg)
}

// begin makes the source readable, and proves it, unless err says that it is not to
// be.
func (s *Source) begin(err error, cfg Config) (*Source, error) {
	if err == nil {
		s.Pump, err = stream.NewPump(s.programs.FD(), stream.Feed[cnfork.Event]{Take: s.take, Finish: s.finish},
			stream.PumpOptions{Take: takeItems, Items: batchItems, Queue: cfg.Queue, Pause: cfg.Pause})
	}
	if err == nil {
		err = s.prove()
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("subscribe to bpf events: %w", err)
	}
	return s, nil
}

// Programs is how many there are, for [tracepoint.HandleNames].
func Programs() int { return len(points) }

// prove forks a child that finds no program to run, and looks for its event. What
// it reads meanwhile comes with the first batch.
func (s *Source) prove() error {
	self := int32(os.Getpid())
	for range 3 {
		if _, err := syscall.ForkExec("", nil, nil); err != syscall.ENOENT {
			return fmt.Errorf("fork a child as a test: %w", err)
		}
		for {
			var b stream.Batch[cnfork.Event]
			_, empty, err := s.read(&b)
			if err != nil {
				return err
			}
			s.early = append(s.early, b.Items...)
			for i := range b.Items {
				if e := &b.Items[i]; e.Kind == cnfork.Fork && e.Forker == self {
					return nil
				}
			}
			if empty {
				break
			}
		}
	}
	return errors.New("the kernel does not report a fork to an attached program")
}

// Source returns [cnfork.SourceBPF].
func (s *Source) Source() cnfork.Source { return cnfork.SourceBPF }

// Handles returns new descriptors of the source, for [Resume]; the caller closes
// them. It must be called before the source is closed, as it is by the end of Run.
func (s *Source) Handles() (tracepoint.Handles, error) { return s.programs.Handles() }

// Lost returns how many events were delivered as lost. It must not be called while
// Run is running.
func (s *Source) Lost() uint64 { return s.programs.Told() }

// Run implements [stream.Source], as [stream.Pump] does. It detaches the programs
// when it returns.
func (s *Source) Run(ctx context.Context) error {
	defer s.Close()
	return s.Pump.Run(ctx)
}

// Close detaches the programs and frees their memory. It must not be called while
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

// take reads some of what is in the ring, after what was read early.
func (s *Source) take(b *stream.Batch[cnfork.Event]) (n int, empty bool, err error) {
	if len(s.early) > 0 {
		n = min(len(s.early), takeItems)
		b.Items = append(b.Items, s.early[:n]...)
		s.early = s.early[n:]
		return n, false, nil
	}
	return s.read(b)
}

// read reads some of what is in the ring.
func (s *Source) read(b *stream.Batch[cnfork.Event]) (n int, empty bool, err error) {
	for ; n < takeItems; n++ {
		sample, ok, err := s.programs.Next()
		if err != nil {
			return n, false, err
		}
		if !ok {
			return n, true, nil
		}
		b.Items = append(b.Items, cnfork.Event{})
		if !decode(sample, &b.Items[len(b.Items)-1]) {
			b.Items = b.Items[:len(b.Items)-1]
			b.Rejected++
		}
	}
	return n, false, nil
}

// finish counts in a batch what found the ring full since the last one.
func (s *Source) finish(b *stream.Batch[cnfork.Event]) error {
	b.Lost += s.programs.Lost()
	return nil
}
