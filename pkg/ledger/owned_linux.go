// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"

	"elsa/internal/fault"
	"elsa/pkg/acct"
)

// OwnOptions bound what [Own] keeps on disk. Zero fields take the defaults.
type OwnOptions struct {
	SegmentSize int64 // a segment of this many bytes is left for a new one: 16 MiB
	TotalSize   int64 // with this many bytes not released, accounting goes off: 1 GiB
}

// ErrBacklogFull is what Rotate returns while accounting is off because nobody
// reads and releases the segments.
var ErrBacklogFull = errors.New("rotate accounting: off, the unread segments reached their bound; they are deleted once their records are stored")

// kernel is what the ledger needs of the running system.
type kernel interface {
	switchOn(path string) error
	switchOff() error
	watchDeath(files []string) (verdict, error)
}

// Owned is a ledger of numbered files in a directory of its own. The kernel is
// switched straight from one to the next, so no record is lost in between, and
// a file is deleted once its records are kept elsewhere. Where accounting was
// off between two files, a number is left out.
type Owned struct {
	dir  segmentDir
	opt  OwnOptions
	kern kernel
	scan scanner // of who reads

	// mu is held by who reads, and by who releases and rotates while it changes these
	// two, but not while it waits for the disk or the kernel:
	mu   sync.RWMutex
	segs []uint64 // on disk, ascending; the last is the current one
	cur  *os.File // the last of segs

	// Of who releases and rotates:
	kept Position // up to where Release was called
	off  bool     // switched off, as the backlog is full
}

var _ Ledger = (*Owned)(nil)

// Own switches accounting on, to a new segment in dir, which it makes if it is
// missing. Segments already there are the backlog. from is the position up to
// which records are kept, zero if none are; numbers go on from it.
//
// If accounting is another program's the error is a *[ConflictError] and
// nothing has changed. It is taken over, without a gap, if it goes to one of
// the last segments in dir, as a process that was killed leaves it.
//
// Own does not fail when the kernel suspends accounting for lack of space; see
// [SpaceState]. The caller sees to it that no two processes
// own the same directory.
func Own(dir string, from Position, opt OwnOptions) (*Owned, error) {
	return own(dir, from, opt, linux{})
}

// ownSegments is how many of the last segments the kernel may be writing to.
const ownSegments = 16

func own(dir string, from Position, opt OwnOptions, kern kernel) (*Owned, error) {
	opt.SegmentSize = cmp.Or(opt.SegmentSize, fault.Size("segment", 16<<20))
	opt.TotalSize = cmp.Or(opt.TotalSize, fault.Size("total", 1<<30))
	if opt.TotalSize < 2*opt.SegmentSize {
		return nil, fmt.Errorf("own accounting: bound of %d bytes in all is less than two segments of %d", opt.TotalSize, opt.SegmentSize)
	}
	d, err := openSegmentDir(dir)
	if err != nil {
		return nil, fmt.Errorf("own accounting: %w", err)
	}
	o := &Owned{dir: d, opt: opt, kern: kern, kept: from}
	if err := o.start(from); err != nil {
		o.Detach()
		return nil, err
	}
	return o, nil
}

func (o *Owned) start(from Position) error {
	var err error
	if o.segs, err = o.dir.list(); err != nil {
		return fmt.Errorf("own accounting: %w", err)
	}
	next := from.Segment + 1
	if n := len(o.segs); n > 0 {
		next = max(next, o.segs[n-1]+1)
	}
	// A process that was killed may have made segments that the kernel was not
	// switched to yet.
	var own []string
	for _, number := range o.segs[max(0, len(o.segs)-ownSegments):] {
		own = append(own, o.dir.path(number))
	}
	live, err := checkOwner(o.kern, own)
	if err != nil {
		return err
	}
	if !live && next > 1 {
		next++ // what ended meanwhile has no record
	}
	if err := o.advance(next); err != nil {
		return err
	}
	if err := o.checkVersion(); err != nil {
		o.kern.switchOff()
		o.dir.remove(next)
		return err
	}
	return nil
}

// advance switches accounting to a new segment.
func (o *Owned) advance(number uint64) error {
	err := fault.Point(fault.SegmentCreate)
	if err != nil {
		return fmt.Errorf("make segment: %w", err)
	}
	f, err := o.dir.create(number)
	if err != nil {
		return fmt.Errorf("make segment: %w", err)
	}
	fault.Point(fault.SegmentCreated)
	// By descriptor, so that it is this very file.
	if err := o.kern.switchOn(fmt.Sprintf("/proc/self/fd/%d", f.Fd())); err != nil {
		f.Close()
		o.dir.remove(number)
		return err
	}
	o.mu.Lock()
	was := o.cur
	o.cur, o.segs = f, append(o.segs, number)
	o.mu.Unlock()
	if was != nil {
		was.Close()
	}
	fault.Point(fault.SegmentSwitched)
	return nil
}

// checkVersion makes sure that the kernel's records have a pid.
func (o *Owned) checkVersion() error {
	if _, err := o.writes(); err != nil {
		return err
	}
	var b [acct.BSDSize]byte
	if _, err := o.cur.ReadAt(b[:], 0); err != nil {
		return nil // suspended
	}
	if !acct.HasPID(&b) {
		return fmt.Errorf("own accounting: the kernel writes records of version %d, which name no process; it needs CONFIG_BSD_PROCESS_ACCT_V3", acct.Version(&b))
	}
	return nil
}

// End implements [Ledger].
func (o *Owned) End() (Position, error) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	st, err := statFile(o.cur)
	if err != nil {
		return Position{}, fmt.Errorf("find the end of accounting: %w", err)
	}
	return st.position(o.last(), st.size), nil
}

func (o *Owned) last() uint64 { return o.segs[len(o.segs)-1] }

// Read implements [Ledger].
func (o *Owned) Read(from, to Position, f func([]acct.Record) error) (Position, Skipped, error) {
	var sk Skipped
	pos, next := from, from.Segment
	err := o.each(from, to, false, func(file *os.File, number uint64, start, end int64) error {
		st, err := statFile(file)
		if err != nil {
			return err
		}
		if next != 0 && number != next || start > st.size {
			// A number left out, a segment gone, or one that lost its end, as
			// in a power failure.
			sk.Gaps++
		}
		next = number + 1
		start = min(start, st.size)
		end = max(start, end)
		pos = st.position(number, start)
		m, err := o.scan.read(file, mark{offset: start}, end, &sk, f)
		pos.Offset = m.offset
		if err == nil && number < to.Segment {
			sk.Bytes += uint64(end - m.offset) // a torn record, and no more comes
			pos.Offset = end
		}
		return err
	})
	if err != nil {
		return pos, sk, fmt.Errorf("read accounting: %w", err)
	}
	return pos, sk, nil
}

// ReadBackward implements [Ledger].
func (o *Owned) ReadBackward(from, to Position, f func([]acct.Record) error) error {
	err := o.each(from, to, true, func(file *os.File, _ uint64, start, end int64) error {
		return o.scan.readBackward(file, start, end, f)
	})
	if err != nil {
		return fmt.Errorf("read accounting backward: %w", err)
	}
	return nil
}

// Backlog implements [Ledger].
func (o *Owned) Backlog(from, to Position) (n int64) {
	o.each(from, to, false, func(_ *os.File, _ uint64, start, end int64) error {
		n += max(end-start, 0)
		return nil
	})
	return n
}

// each calls f with the stretch of each segment between two positions. Segments
// that are gone are passed over.
func (o *Owned) each(from, to Position, backward bool, f func(file *os.File, number uint64, start, end int64) error) error {
	o.mu.RLock()
	defer o.mu.RUnlock()
	segs := slices.Clone(o.segs)
	if backward {
		slices.Reverse(segs)
	}
	for _, number := range segs {
		if number < from.Segment || number > to.Segment {
			continue
		}
		file := o.cur
		if number != o.last() {
			var err error
			if file, err = o.dir.open(number); errors.Is(err, fs.ErrNotExist) {
				continue
			} else if err != nil {
				return err
			}
		}
		err := func() error {
			if file != o.cur {
				defer file.Close()
			}
			st, err := statFile(file)
			if err != nil {
				return err
			}
			start, end := int64(0), st.size
			if number == from.Segment {
				start = from.Offset
			}
			if number == to.Segment {
				end = min(end, to.Offset)
			}
			return f(file, number, start, end)
		}()
		if err != nil {
			return err
		}
	}
	return nil
}

// Release implements [Ledger]: segments wholly before pos are deleted.
func (o *Owned) Release(pos Position) error {
	o.kept = pos
	for len(o.segs) > 1 && o.segs[0] < pos.Segment {
		fault.Point(fault.SegmentRelease)
		if err := o.dir.remove(o.segs[0]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("release accounting: %w", err)
		}
		fault.Point(fault.SegmentReleased)
		o.mu.Lock()
		o.segs = o.segs[1:]
		o.mu.Unlock()
	}
	return nil
}

// Rotate implements [Ledger]. When what is not released has reached its
// bound it switches accounting off, rather than fill the disk or delete what
// nobody has read, and returns [ErrBacklogFull] until half of it is released;
// then it goes on, with a gap.
func (o *Owned) Rotate() error {
	end, err := o.End()
	if err != nil {
		return err
	}
	unread := o.Backlog(o.kept, end)
	switch {
	case o.off && unread > o.opt.TotalSize/2:
		return ErrBacklogFull
	case o.off:
		return o.Reclaim()
	case unread >= o.opt.TotalSize:
		if err := o.release(); err != nil {
			return err
		}
		o.off = true
		return ErrBacklogFull
	case end.Offset >= o.opt.SegmentSize:
		return o.advance(o.last() + 1)
	}
	return nil
}

// writes tells whether the kernel writes to the current segment now: it lets a
// child process end and looks for its line. False means that accounting is off,
// suspended for lack of space, or on to another file.
func (o *Owned) writes() (bool, error) {
	v, err := o.kern.watchDeath([]string{o.Path()})
	return len(v.grown) > 0, err
}

// Reclaim switches accounting on again after someone switched it off, to a new
// segment. It does nothing if the kernel writes to the current one. It fails
// with a *[ConflictError] if accounting is now another program's, and when the
// kernel would suspend it at once for lack of space.
func (o *Owned) Reclaim() error {
	if space, err := SpaceState(o.dir.name); err == nil && space.Low() {
		return fmt.Errorf("switch accounting on again: suspended with %d MiB free; the kernel wants %d MiB", space.Available>>20, space.Resume>>20)
	}
	live, err := checkOwner(o.kern, []string{o.Path()})
	if live || err != nil {
		return err
	}
	if err := o.advance(o.last() + 2); err != nil {
		return err
	}
	o.off = false
	return nil
}

// release switches accounting off if it is still this ledger's.
func (o *Owned) release() error {
	v, err := o.kern.watchDeath([]string{o.Path()})
	if err != nil {
		return err
	}
	// When it is suspended it may be ours; switching off is right, or harmless.
	if len(v.grown) > 0 || v.off {
		return o.kern.switchOff()
	}
	return nil
}

// Path implements [Ledger].
func (o *Owned) Path() string {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.dir.path(o.last())
}

// Close implements [Ledger]: accounting is off as it was before Own, unless
// another program took it meanwhile.
func (o *Owned) Close() error {
	var err error
	if !o.off {
		err = o.release()
	}
	return errors.Join(err, o.Detach())
}

// Detach frees what the ledger holds and leaves accounting on, to go on
// without a gap with the next Own of the same directory.
func (o *Owned) Detach() error {
	var err error
	if o.cur != nil {
		err = o.cur.Close()
	}
	return errors.Join(err, o.dir.root.Close())
}
