// SPDX-License-Identifier: Apache-2.0

package tracepoint

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Handles are descriptors of [Programs], by name; see [HandleNames]. While a process
// has all of them open the programs go on, and samples wait in the ring.
type Handles map[string]int

// HandleNames are the names of the handles of n programs: "ring" and "drops", and
// "program" and "link" of each, those after the first with a number: "program2".
func HandleNames(n int) []string {
	names := []string{ringMap, dropsMap}
	for i := range n {
		names = append(names, numbered("program", i), numbered("link", i))
	}
	return names
}

func numbered(what string, i int) string {
	if i == 0 {
		return what
	}
	return what + strconv.Itoa(i+1)
}

// Close closes the descriptors.
func (h Handles) Close() {
	for _, fd := range h {
		unix.Close(fd)
	}
}

// Handles returns new descriptors of the programs, for [Resume]; the caller closes
// them.
func (p *Programs) Handles() (Handles, error) {
	h := Handles{}
	fds := map[string]int{ringMap: p.ring.FD(), dropsMap: p.drops.FD()}
	for i := range p.loaded {
		raw, ok := p.links[i].(interface{ FD() int })
		if !ok {
			return nil, errors.New("duplicate handles: the link has no descriptor")
		}
		fds[numbered("program", i)], fds[numbered("link", i)] = p.loaded[i].FD(), raw.FD()
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

// Resume goes on where Programs of this boot ended, maybe in another process. told
// is what Told said there, and programs are what was attached. It fails if the
// handles are not of those programs. It owns the handles, and closes them also when
// it fails.
func Resume(h Handles, told uint64, programs []Program) (*Programs, error) {
	p := &Programs{lost: told}
	if err := p.resume(h, programs); err != nil {
		p.Close()
		h.Close()
		return nil, err
	}
	return p, nil
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

func (p *Programs) resume(h Handles, programs []Program) error {
	var err error
	if p.ring, err = ebpf.NewMapFromFD(h.take(ringMap)); err != nil {
		return fmt.Errorf("take over ring buffer: %w", err)
	}
	if p.drops, err = ebpf.NewMapFromFD(h.take(dropsMap)); err != nil {
		return fmt.Errorf("take over drop counter: %w", err)
	}
	if p.ring.Type() != ebpf.RingBuf || p.drops.Type() != ebpf.Array || p.drops.ValueSize() != 8 {
		return errors.New("the maps are of another kind")
	}
	own, err := p.load(programs)
	defer func() {
		for _, o := range own {
			o.Close()
		}
	}()
	if err != nil {
		return err
	}
	for i := range programs {
		if err := p.takeProgram(h, i, own[i]); err != nil {
			return fmt.Errorf("take over program at %s: %w", programs[i].Tracepoint, err)
		}
	}
	return p.open()
}

// takeProgram takes over one program and its link. own is what this version would
// load.
func (p *Programs) takeProgram(h Handles, i int, own *ebpf.Program) error {
	program, err := ebpf.NewProgramFromFD(h.take(numbered("program", i)))
	if err != nil {
		return err
	}
	p.loaded = append(p.loaded, program)
	attached, err := link.NewFromFD(h.take(numbered("link", i)))
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
