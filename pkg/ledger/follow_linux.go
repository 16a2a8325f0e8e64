// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"

	"elsa/pkg/acct"
)

// Follower is a ledger in a file that another program has the kernel write to
// and rotates, by renaming or by truncating it. It changes nothing.
//
// Renaming loses nothing, however often it happened while nobody looked, as
// long as the files stay beside the first, uncompressed. Truncating loses what
// the kernel wrote between the copy and the cut, and is a gap each time. It is
// expected to cut the file to nothing: what it leaves is read again.
type Follower struct {
	mu    sync.Mutex // held by every call
	path  string
	files []*followed // in the order they were written; the last is still
	first Position    // what the zero Position means
	pos   Position    // where Read got to
	last  uint64      // the number given last
	gone  []uint32    // heads of files that were in the chain, the last few
	skip  Skipped     // for the next Read to report
	scan  scanner
	// problem is why the file at path is not read.
	problem error
}

var _ Ledger = (*Follower)(nil)

// followed is a file of the chain.
type followed struct {
	number uint64
	file   *os.File
	size   int64  // when last looked at
	head   uint32 // checksum of its first line, zero while there is none
}

// Follow reads the accounting file at path from a position that a Follower of
// it returned, also if it was rotated since, or from its present end if from is
// zero. The file may be missing; it is read from its beginning when it comes.
// A file that another user than root could write is refused, and so is a link, or
// anything that is not a file. Close the Follower after use.
func Follow(path string, from Position) (*Follower, error) {
	f := &Follower{path: path, first: from, pos: from, last: from.Segment}
	if err := f.start(from); err != nil {
		f.Close()
		return nil, fmt.Errorf("follow accounting: %w", err)
	}
	return f, nil
}

func (f *Follower) start(from Position) error {
	if err := checkFollowed(f.path); err != nil {
		return err
	}
	cur, err := openTrusted(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		cur, err = nil, nil
	}
	if err != nil {
		return err
	}
	if from.IsZero() {
		if cur == nil {
			return nil
		}
		f.append(cur)
		f.first, err = f.files[0].end()
		f.pos = f.first
		return err
	}
	m := mark{from.Offset, from.Sum}
	st := fileStat{}
	if cur != nil {
		if st, err = statFile(cur); err != nil {
			return err
		}
	}
	f.last--
	if cur != nil && st.ino == from.Inode && m.matches(cur) {
		f.append(cur)
		return nil
	}
	old := f.findRotated(from.Inode, m, st.ino)
	if old == nil || st.ino == from.Inode {
		f.skip.Gaps++ // it is gone, or it was copied and cut
	}
	if old != nil {
		f.append(old)
	} else {
		f.last++ // nothing more is known of that segment
	}
	switch {
	case cur == nil:
	case st.size == 0 && old != nil:
		cur.Close() // not in use yet, see poll
	default:
		f.append(cur)
	}
	return nil
}

// append makes a file the one written to now, after what was in its place
// since the last one and is rotated away already.
func (f *Follower) append(file *os.File) {
	w := f.insert(file)
	f.last++
	w.number = f.last
	f.files = append(f.files, w)
}

// insert appends what was written after the last file and before another one,
// which it returns without appending it.
func (f *Follower) insert(next *os.File) *followed {
	for {
		w := &followed{file: next}
		w.look() // before the search: if it is cut meanwhile, it will show
		n := len(f.files)
		if n == 0 {
			return w
		}
		between, packed := f.between(f.files[n-1].file, w)
		if now, err := markAt(next, 0); err == nil && w.head == 0 && now.sum != 0 {
			// It is written to now. What was found may be a copy, or itself.
			closeAll(between)
			continue
		}
		for _, file := range between {
			f.last++
			b := &followed{number: f.last, file: file}
			b.look()
			f.files = append(f.files, b)
		}
		for _, p := range packed {
			f.skip.Lost += p.records
			f.forget(p.head)
		}
		return w
	}
}

// look finds out how large the file is, and whether it was cut since the last
// look, however large it is again.
func (w *followed) look() (cut bool, err error) {
	st, err := statFile(w.file)
	if err != nil {
		return false, err
	}
	if !(mark{0, w.head}).matches(w.file) {
		return true, nil
	}
	w.size = st.size
	if w.head == 0 {
		m, err := markAt(w.file, 0)
		w.head = m.sum
		return false, err
	}
	return false, nil
}

// end is the position of the file's end.
func (w *followed) end() (Position, error) {
	st, err := statFile(w.file)
	if err != nil {
		return Position{}, err
	}
	m, err := markAt(w.file, st.size)
	p := st.position(w.number, m.offset)
	p.Sum = m.sum
	return p, err
}

// poll finds out whether the file was rotated.
func (f *Follower) poll() error {
	if n := len(f.files); n > 0 {
		cut, err := f.files[n-1].look()
		if err != nil {
			return err
		}
		if cut {
			f.truncated(n - 1)
		}
	}
	file, err := openTrusted(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // between rename and create
	}
	if f.refuse(err); err != nil {
		return nil // go on with what there is
	}
	if n := len(f.files); n > 0 {
		var now, cur fileStat
		if now, err = statFile(file); err == nil {
			cur, err = statFile(f.files[n-1].file)
		}
		if err != nil || now.ino == cur.ino && now.dev == cur.dev {
			file.Close()
			return err
		}
		if now.size == 0 {
			// The kernel goes on with the old file until it is told of the new
			// one, and never goes back. While the new is empty, the old, or the
			// last of those between, may still grow.
			f.insert(file)
			return file.Close()
		}
	}
	f.append(file)
	return nil
}

// End implements [Ledger].
func (f *Follower) End() (Position, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range 3 {
		err := f.poll()
		p := f.pos // if there is no file yet
		for i := len(f.files) - 1; i >= 0 && err == nil; i-- {
			// A file can be told from what it is replaced by when there is
			// something in it. Until then stay at the end of the one before.
			p, err = f.files[i].end()
			if p.Offset > 0 {
				break
			}
		}
		if errors.Is(err, io.EOF) {
			continue // cut after its size was looked at, before its last line was
		}
		if err != nil {
			return Position{}, fmt.Errorf("find the end of accounting: %w", err)
		}
		if p.Compare(f.pos) >= 0 {
			return p, nil
		}
		// It was cut a moment ago, or the file before it.
	}
	return f.pos, nil
}

// Read implements [Ledger]. When it finds the file truncated it returns with
// what there was; the next End is in the file that goes on.
func (f *Follower) Read(from, to Position, emit func([]acct.Record) error) (Position, Skipped, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if from.IsZero() {
		from = f.first
	}
	f.pos = from
	var sk Skipped
	err := f.each(from, to, false, func(w *followed, st fileStat, m mark, end int64) error {
		f.pos = st.position(w.number, m.offset)
		f.pos.Sum = m.sum
		if m.offset > st.size {
			f.truncated(slices.Index(f.files, w))
			return errReplaced
		}
		m, err := f.scan.read(w.file, m, end, &sk, emit)
		if err == nil && w.number < to.Segment {
			sk.Bytes += uint64(max(end-m.offset, 0)) // a torn record, and no more comes
		}
		f.pos.Offset, f.pos.Sum = m.offset, m.sum
		if err == errReplaced {
			f.truncated(slices.Index(f.files, w))
		}
		return err
	})
	sk.Add(f.skip)
	f.skip = Skipped{}
	if err != nil && err != errReplaced {
		return f.pos, sk, fmt.Errorf("read accounting: %w", err)
	}
	return f.pos, sk, nil
}

// ReadBackward implements [Ledger].
func (f *Follower) ReadBackward(from, to Position, emit func([]acct.Record) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.each(from, to, true, func(w *followed, _ fileStat, m mark, end int64) error {
		return f.scan.readBackward(w.file, m.offset, end, emit)
	})
	if err != nil {
		return fmt.Errorf("read accounting backward: %w", err)
	}
	return nil
}

// Backlog implements [Ledger].
func (f *Follower) Backlog(from, to Position) (n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.each(from, to, false, func(_ *followed, _ fileStat, m mark, end int64) error {
		n += max(end-m.offset, 0)
		return nil
	})
	return n
}

// each calls do with the stretch of each file between two positions.
func (f *Follower) each(from, to Position, backward bool, do func(w *followed, st fileStat, m mark, end int64) error) error {
	if from.IsZero() {
		from = f.first
	}
	files := slices.Clone(f.files)
	if backward {
		slices.Reverse(files)
	}
	for _, w := range files {
		if w.number < from.Segment || w.number > to.Segment {
			continue
		}
		st, err := statFile(w.file)
		if err != nil {
			return err
		}
		m, end := mark{0, w.head}, st.size
		if w.number == from.Segment && from.Offset > 0 {
			m = mark{from.Offset, from.Sum}
		}
		if w.number == to.Segment {
			end = to.Offset
		}
		if err := do(w, st, m, end); err != nil {
			return err
		}
	}
	return nil
}

// Release implements [Ledger]. Nothing is deleted: the files are another's.
func (f *Follower) Release(pos Position) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.files) > 1 && f.files[0].number < pos.Segment {
		f.files[0].file.Close()
		f.forget(f.files[0].head)
		f.files = f.files[1:]
	}
	return nil
}

// Rotate implements [Ledger]: it is the other program's to do.
func (f *Follower) Rotate() error { return nil }

// Path implements [Ledger].
func (f *Follower) Path() string { return f.path }

// Close implements [Ledger]. Accounting stays as it is.
func (f *Follower) Close() error {
	var errs []error
	for _, w := range f.files {
		errs = append(errs, w.file.Close())
	}
	f.files = nil
	return errors.Join(errs...)
}

// refuse notes why the file at the path is not read, nil if it is.
func (f *Follower) refuse(err error) {
	if err != nil && f.problem == nil {
		f.skip.Gaps++ // of what goes there
	}
	f.problem = err
}

// Problem is why the file that is at the path now is not read; nil if it is, or if
// there is none.
func (f *Follower) Problem() error { return f.problem }
