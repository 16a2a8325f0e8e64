// SPDX-License-Identifier: Apache-2.0

// Package tracepoint attaches BPF programs to the kernel's tracepoints and reads
// what they write. The programs are written in this process, by the type
// information of the running kernel, and share one ring buffer. Packages taskevent
// and taskrelease have the programs.
package tracepoint

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"
)

// What the programs call the maps.
const (
	ringMap  = "ring"
	dropsMap = "drops"
)

// Program is one program and the tracepoint it is attached to.
type Program struct {
	// Name is the program's, for bpftool(8): at most 15 letters, digits and
	// underscores.
	Name string
	// Tracepoint is its name without the class, as "sched_process_fork". The
	// program gets a pointer to the tracepoint's arguments (tp_btf).
	Tracepoint   string
	Instructions asm.Instructions
}

// Programs are programs that run, and the ring that they write to. One goroutine
// reads.
type Programs struct {
	ring    *ebpf.Map
	drops   *ebpf.Map
	counter *ebpf.Memory
	loaded  []*ebpf.Program
	links   []link.Link
	reader  *ringbuf.Reader
	sample  ringbuf.Record
	lost    uint64 // samples dropped, as told by Lost
	closing sync.Once
}

// Attach loads programs and attaches them in their order. From then on each sample
// is kept until it is read. ring is the size of the ring buffer in bytes, rounded up
// to a power of two of pages; the kernel takes all of it at once, and it counts twice
// as resident memory of the process. name is the ring's.
//
// It needs CAP_BPF and CAP_PERFMON (or root), and before kernel 5.11
// CAP_SYS_RESOURCE or a locked-memory limit above the ring's size. The error says
// what is missing.
func Attach(ctx context.Context, name string, ring int, programs []Program) (*Programs, error) {
	p := &Programs{}
	if err := p.attach(ctx, name, ring, programs); err != nil {
		p.Close()
		return nil, Explain(err)
	}
	return p, nil
}

func (p *Programs) attach(ctx context.Context, name string, ring int, programs []Program) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var err error
	p.ring, err = newMap(&ebpf.MapSpec{Name: name, Type: ebpf.RingBuf, MaxEntries: ringSize(ring)})
	if err != nil {
		return fmt.Errorf("make ring buffer: %w", err)
	}
	p.drops, err = newMap(&ebpf.MapSpec{
		Name: "elsa_drops", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1, Flags: unix.BPF_F_MMAPABLE,
	})
	if err != nil {
		return fmt.Errorf("make drop counter: %w", err)
	}
	if p.loaded, err = p.load(programs); err != nil {
		return err
	}
	if err := p.open(); err != nil {
		return err
	}
	for i, loaded := range p.loaded {
		l, err := link.AttachTracing(link.TracingOptions{Program: loaded})
		if err != nil {
			return fmt.Errorf("attach to %s: %w", programs[i].Tracepoint, err)
		}
		p.links = append(p.links, l)
	}
	return nil
}

// load loads programs that write to the maps. The caller closes those that it
// returns, also with an error.
func (p *Programs) load(programs []Program) (loaded []*ebpf.Program, err error) {
	for _, program := range programs {
		spec := &ebpf.ProgramSpec{
			Name: program.Name, Type: ebpf.Tracing, AttachType: ebpf.AttachTraceRawTp, AttachTo: program.Tracepoint,
			License:      "GPL", // what the kernel asks of a tracing program
			Instructions: program.Instructions,
		}
		for name, m := range map[string]*ebpf.Map{ringMap: p.ring, dropsMap: p.drops} {
			if err := spec.Instructions.AssociateMap(name, m); err != nil {
				return loaded, err
			}
		}
		l, err := ebpf.NewProgram(spec)
		if err != nil {
			return loaded, fmt.Errorf("load program for %s: %w", program.Tracepoint, err)
		}
		loaded = append(loaded, l)
	}
	return loaded, nil
}

// open makes the maps readable.
func (p *Programs) open() (err error) {
	if p.counter, err = p.drops.Memory(); err != nil {
		return fmt.Errorf("map drop counter: %w", err)
	}
	if p.reader, err = ringbuf.NewReader(p.ring); err != nil {
		return fmt.Errorf("open ring buffer: %w", err)
	}
	p.reader.SetDeadline(time.Unix(1, 0)) // reads return what is there
	return nil
}

// FD is a descriptor that can be polled for samples. It is the ring's.
func (p *Programs) FD() int { return p.ring.FD() }

// Next takes the next sample off the ring; it is valid until the call after. ok is
// false when there is none. It does not block.
func (p *Programs) Next() (sample []byte, ok bool, err error) {
	err = p.reader.ReadInto(&p.sample)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read ring buffer: %w", err)
	}
	return p.sample.RawSample, true, nil
}

// Lost returns how many samples found the ring full since the last call: all of
// them, since the programs count in one place, atomically.
func (p *Programs) Lost() uint64 {
	var b [8]byte
	_, _ = p.counter.ReadAt(b[:], 0) // cannot fail: eight bytes are mapped
	lost := binary.NativeEndian.Uint64(b[:])
	since := lost - p.lost
	p.lost = lost
	return since
}

// Told returns how many samples Lost has told of by now.
func (p *Programs) Told() uint64 { return p.lost }

// Loaded are the programs in their order, for what the kernel tells of them. They
// stay the owner's.
func (p *Programs) Loaded() []*ebpf.Program { return p.loaded }

// Close detaches the programs and frees their memory. Calling it again does
// nothing.
func (p *Programs) Close() error {
	var errs []error
	p.closing.Do(func() {
		for _, l := range p.links {
			errs = append(errs, l.Close())
		}
		if p.reader != nil {
			errs = append(errs, p.reader.Close())
		}
		for _, l := range p.loaded {
			errs = append(errs, l.Close())
		}
		for _, m := range []*ebpf.Map{p.ring, p.drops} {
			if m != nil {
				errs = append(errs, m.Close())
			}
		}
	})
	return errors.Join(errs...)
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

// Explain adds the mend to errors of [Attach] and [KernelTypes] that have one.
func Explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w (run as root or with CAP_BPF and CAP_PERFMON; before kernel 5.11 also CAP_SYS_RESOURCE)", err)
	case errors.Is(err, os.ErrNotExist), errors.Is(err, btf.ErrNotFound), errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("%w (it takes kernel 5.8 or later with CONFIG_DEBUG_INFO_BTF)", err)
	}
	return err
}
