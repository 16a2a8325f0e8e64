// SPDX-License-Identifier: Apache-2.0

package taskrelease

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Handles are descriptors of an [Source]. While a process has all of
// them open the program goes on, and records wait in the ring.
type Handles struct{ Ring, Drops, Program, Link int }

// Handles returns new descriptors of the source, for [Resume]; the caller
// closes them. It must be called before the source is closed, as it is by the end
// of Run.
func (s *Source) Handles() (h Handles, err error) {
	raw, ok := s.link.(interface{ FD() int })
	if !ok {
		return h, errors.New("duplicate handles: the link has no descriptor")
	}
	h = Handles{-1, -1, -1, -1}
	for _, d := range []struct {
		to   *int
		from int
	}{{&h.Ring, s.ring.FD()}, {&h.Drops, s.drops.FD()}, {&h.Program, s.prog.FD()}, {&h.Link, raw.FD()}} {
		if *d.to, err = unix.FcntlInt(uintptr(d.from), unix.F_DUPFD_CLOEXEC, 3); err != nil {
			h.Close()
			return h, fmt.Errorf("duplicate handles: %w", err)
		}
	}
	return h, nil
}

// Close closes those descriptors that are not negative.
func (h Handles) Close() {
	for _, fd := range []int{h.Ring, h.Drops, h.Program, h.Link} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// Lost returns how many records were delivered as lost. It must not be called
// while Run is running.
func (s *Source) Lost() uint64 { return s.lost }

// Resume goes on where another source of this boot ended, maybe in another
// process. lost is what Lost said there; figures of threads that were held back
// for their process then are lost. It fails if the program is not the one that
// this version makes. The handles are owned by the source, and closed also when
// it fails.
func Resume(h Handles, lost uint64, cfg Config) (*Source, error) {
	s := newSource(cfg)
	s.lost = lost
	if err := s.resume(h); err != nil {
		s.Close()
		return nil, fmt.Errorf("resume exact accounting: %w", err)
	}
	return s, nil
}

func (s *Source) resume(h Handles) error {
	var errs [4]error
	s.ring, errs[0] = ebpf.NewMapFromFD(h.Ring)
	s.drops, errs[1] = ebpf.NewMapFromFD(h.Drops)
	s.prog, errs[2] = ebpf.NewProgramFromFD(h.Program)
	s.link, errs[3] = link.NewFromFD(h.Link)
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	attached, err := s.link.Info()
	if err != nil {
		return fmt.Errorf("read about link: %w", err)
	}
	program, err := s.prog.Info()
	if err != nil {
		return fmt.Errorf("read about program: %w", err)
	}
	if id, ok := program.ID(); !ok || attached.Program != id {
		return errors.New("the link is of another program")
	}
	if s.ring.Type() != ebpf.RingBuf || s.drops.Type() != ebpf.Array || s.drops.ValueSize() != 8 {
		return errors.New("the maps are of another kind")
	}
	own, err := s.load()
	if err != nil {
		return err
	}
	defer own.Close()
	if info, err := own.Info(); err != nil || info.Tag != program.Tag {
		return errors.Join(errors.New("the program is of another version"), err)
	}
	return s.open()
}
