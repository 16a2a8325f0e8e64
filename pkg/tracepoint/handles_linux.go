// SPDX-License-Identifier: Apache-2.0

package tracepoint

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Handles are descriptors of a [Source], by name: "ring", "state", and of each program
// "NAME-program" and "NAME-link". While a process has all of them open, or they are
// pinned, the programs go on, and samples wait in the ring.
type Handles map[string]int

// Close closes the descriptors.
func (h Handles) Close() {
	for name, fd := range h {
		unix.Close(fd)
		delete(h, name)
	}
}

func programName(p Program) string { return p.Name + "-program" }
func linkName(p Program) string    { return p.Name + "-link" }

// Handles returns new descriptors of the source, for [Resume]; the caller closes
// them. It must be called before the source is closed, as it is by the end of Run.
func (s *Source) Handles() (Handles, error) {
	h := Handles{}
	fds := map[string]int{ringMap: s.programs.ring.FD(), stateMap: s.programs.state.FD()}
	for i, p := range s.written {
		raw, ok := s.programs.links[i].(interface{ FD() int })
		if !ok {
			return nil, errors.New("duplicate handles: the link has no descriptor")
		}
		fds[programName(p)], fds[linkName(p)] = s.programs.loaded[i].FD(), raw.FD()
	}
	for name, from := range fds {
		fd, err := unix.FcntlInt(uintptr(from), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			h.Close()
			return nil, fmt.Errorf("duplicate handles: %w", err)
		}
		h[name] = fd
	}
	return h, nil
}

// take returns a descriptor out of h, or -1.
func (h Handles) take(name string) int {
	fd, ok := h[name]
	if !ok {
		return -1
	}
	delete(h, name)
	return fd
}

// resume takes over what handles name, if it is of the programs that are written now.
func (p *programs) resume(h Handles, written []Program) error {
	if len(h) != 2+2*len(written) {
		return fmt.Errorf("%d descriptors are kept, and %d needed", len(h), 2+2*len(written))
	}
	var err error
	if p.ring, err = ebpf.NewMapFromFD(h.take(ringMap)); err != nil {
		return fmt.Errorf("take over ring buffer: %w", err)
	}
	if p.state, err = ebpf.NewMapFromFD(h.take(stateMap)); err != nil {
		return fmt.Errorf("take over state of programs: %w", err)
	}
	if p.ring.Type() != ebpf.RingBuf || p.state.Type() != ebpf.Array || p.state.ValueSize() != stateBytes {
		return errors.New("the maps are of another kind")
	}
	own, err := p.load(written)
	defer func() {
		for _, o := range own {
			o.Close()
		}
	}()
	if err != nil {
		return err
	}
	for i := range written {
		if err := p.takeProgram(h, written[i], own[i]); err != nil {
			return fmt.Errorf("take over program at %s: %w", written[i].Tracepoint, err)
		}
	}
	return nil
}

// takeProgram takes over one program and its link. own is what this version would
// load.
func (p *programs) takeProgram(h Handles, written Program, own *ebpf.Program) error {
	program, err := ebpf.NewProgramFromFD(h.take(programName(written)))
	if err != nil {
		return err
	}
	p.loaded = append(p.loaded, program)
	attached, err := link.NewFromFD(h.take(linkName(written)))
	if err != nil {
		return err
	}
	p.links = append(p.links, attached)
	of, err := attached.Info()
	if err != nil {
		return fmt.Errorf("read about link: %w", err)
	}
	info, err := program.Info()
	if err != nil {
		return fmt.Errorf("read about program: %w", err)
	}
	if id, ok := info.ID(); !ok || of.Program != id {
		return errors.New("the link is of another program")
	}
	mine, err := own.Info()
	if err != nil {
		return fmt.Errorf("read about program: %w", err)
	}
	if mine.Tag != info.Tag {
		return errors.New("the program is of another version")
	}
	return nil
}
