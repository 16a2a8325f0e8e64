// SPDX-License-Identifier: Apache-2.0

// Package tracepoint attaches BPF programs to the kernel's tracepoints and reads
// what they write. The programs are written in this process, by the type
// information of the running kernel, and share one ring buffer, which one goroutine
// reads: what they tell is in one order. Packages taskevent and taskrelease have the
// programs, and know what their samples mean.
package tracepoint

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// What the programs call the maps.
const (
	ringMap  = "ring"
	stateMap = "state"
)

// Program is one program and the tracepoint it is attached to.
type Program struct {
	// Name is the program's, for bpftool(8): at most 10 letters.
	Name string
	// Tracepoint is its name without the class, as "sched_process_fork". The
	// program gets a pointer to the tracepoint's arguments (tp_btf).
	Tracepoint   string
	Instructions asm.Instructions
}

// programs are programs that run, and their maps.
type programs struct {
	ring   *ebpf.Map
	state  *ebpf.Map
	loaded []*ebpf.Program
	links  []link.Link
}

// attach makes the maps, loads programs and attaches them in their order.
func (p *programs) attach(ringBytes int, written []Program) error {
	var err error
	p.ring, err = newMap(&ebpf.MapSpec{Name: "elsa_ring", Type: ebpf.RingBuf, MaxEntries: ringSize(ringBytes)})
	if err != nil {
		return fmt.Errorf("make ring buffer: %w", err)
	}
	p.state, err = newMap(&ebpf.MapSpec{
		Name: "elsa_state", Type: ebpf.Array, KeySize: 4, ValueSize: stateBytes, MaxEntries: 1, Flags: unix.BPF_F_MMAPABLE,
	})
	if err != nil {
		return fmt.Errorf("make state of programs: %w", err)
	}
	if p.loaded, err = p.load(written); err != nil {
		return err
	}
	for i, loaded := range p.loaded {
		l, err := link.AttachTracing(link.TracingOptions{Program: loaded})
		if err != nil {
			return fmt.Errorf("attach to %s: %w", written[i].Tracepoint, err)
		}
		p.links = append(p.links, l)
	}
	return nil
}

// load loads programs that write to the maps. The caller closes those that it
// returns, also with an error.
func (p *programs) load(written []Program) (loaded []*ebpf.Program, err error) {
	for _, program := range written {
		spec := &ebpf.ProgramSpec{
			Name: "elsa_" + program.Name, Type: ebpf.Tracing, AttachType: ebpf.AttachTraceRawTp, AttachTo: program.Tracepoint,
			License:      "GPL", // what the kernel asks of a tracing program
			Instructions: program.Instructions,
		}
		for name, m := range map[string]*ebpf.Map{ringMap: p.ring, stateMap: p.state} {
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

// id is the ring's in the kernel.
func (p *programs) id() (uint32, error) {
	info, err := p.ring.Info()
	if err != nil {
		return 0, fmt.Errorf("read about ring buffer: %w", err)
	}
	id, ok := info.ID()
	if !ok {
		return 0, errors.New("read about ring buffer: it has no id")
	}
	return uint32(id), nil
}

// misses is how often programs from one to another did not run because a program ran
// on the CPU already. Kernels before 5.12 do not say.
func (p *programs) misses(from, to int) (n uint64) {
	for _, l := range p.loaded[from:to] {
		if s, err := l.Stats(); err == nil {
			n += s.RecursionMisses
		}
	}
	return n
}

func (p *programs) close() error {
	var errs []error
	for _, l := range p.links {
		errs = append(errs, l.Close())
	}
	for _, l := range p.loaded {
		errs = append(errs, l.Close())
	}
	for _, m := range []*ebpf.Map{p.ring, p.state} {
		if m != nil {
			errs = append(errs, m.Close())
		}
	}
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

// Explain adds the mend to errors of [Open] and [KernelTypes] that have one.
func Explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w (run as root or with CAP_BPF and CAP_PERFMON; before kernel 5.11 also CAP_SYS_RESOURCE)", err)
	case errors.Is(err, os.ErrNotExist), errors.Is(err, btf.ErrNotFound), errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("%w (it takes kernel 5.8 or later with CONFIG_DEBUG_INFO_BTF)", err)
	}
	return err
}
