// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/parquet-go/parquet-go"

	"elsa/internal/journal"
	"elsa/internal/query"
	"elsa/pkg/client"
)

// Scanner reads the rows that a query asks for, sealed ones first, then those of the
// journal. It belongs to one goroutine.
type Scanner struct {
	// Dir is the archive.
	Dir string
	// Owner, if set, is the only user whose rows are read.
	Owner *uint32
	// Damage is told what cannot be read, and passed over. Required.
	Damage func(error)
	// Living are processes that belong to the tree that is asked for, and have no row yet.
	Living []client.Process
	// Progress, if set, is told how many bytes were read, of how many.
	Progress func(done, all int64)
	// Stop, if set, is asked from time to time; its error ends what is under way.
	Stop func() error
	// From, if set, hands over the rows of a place that hosts deliver to; Dir is not read.
	From func(*Intake) error

	batch batch
	rows  uint64 // looked at
	doubt int64  // what ended before may be missing, as far as was looked
}

// sink takes the rows of a batch that were found.
type sink interface {
	take(b *batch, found []int32) error
}

// journalRows is how many rows of the journal are looked at together.
const journalRows = 4096

// scan hands the rows that match to s.
func (x *Scanner) scan(q *query.Query, m *match, s sink) error {
	if x.From != nil {
		return x.from(m, s)
	}
	// What is sealed meanwhile must be found once: what was not sealed when that was asked
	// is read in the journal, and its files are left out. If elsad has removed it from
	// there by then, all its files are whole, and are read.
	from := filepath.Join(x.Dir, journal.Subdir)
	segments, err := journal.List(from)
	if err != nil {
		return err
	}
	sealed, err := journal.LastSealed(x.Dir)
	if err != nil {
		x.damaged(err, ever)
	}
	list, ok, err := readList(x.Dir)
	if err != nil {
		x.damaged(err, ever)
	}
	files, err := Files(x.Dir)
	if err != nil {
		return err
	}
	x.missing(q, list, ok, files)
	segments = slices.DeleteFunc(segments, func(n uint64) bool { return n <= sealed })
	for _, g := range gaps(segments, lastListed(list, sealed)) {
		x.damaged(g.err(), ever)
	}
	unsealed := unsealed(from, segments)
	if err := x.files(files, q, m, s, func(f *File) bool { return unsealed[f.madeOf()] == 0 }); err != nil {
		return err
	}
	gone := map[uint64]bool{}
	for i, n := range segments {
		switch err := x.segment(from, segments, i, m, s); {
		case err == nil:
		case isSink(err):
			return err
		case errors.Is(err, os.ErrNotExist):
			gone[n] = true
		default:
			x.damaged(err, ever)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	if files, err = Files(x.Dir); err != nil {
		return err
	}
	return x.files(files, q, m, s, func(f *File) bool { return gone[unsealed[f.madeOf()]] })
}

// unsealed are segments by what the names of their files will begin with. These may
// appear at any time.
func unsealed(from string, segments []uint64) map[string]uint64 {
	of := map[string]uint64{}
	for _, n := range segments {
		if seg, err := journal.OpenSegment(from, n); err == nil {
			of[newHeader(seg.Header).madeOf()] = n
			seg.Close()
		}
	}
	return of
}

// files scans the files of a list that are wanted.
func (x *Scanner) files(list []File, q *query.Query, m *match, s sink, want func(*File) bool) error {
	all, done := int64(0), int64(0)
	for _, f := range list {
		all += f.Size
	}
	for i := range list {
		f := &list[i]
		if x.Progress != nil {
			x.Progress(done, all)
		}
		done += f.Size
		if !want(f) || !inDays(q, f.Day) {
			continue
		}
		if err := x.file(f.Path, m, s); isSink(err) {
			return err
		} else if err != nil {
			x.damaged(fmt.Errorf("read archive file %s: %w", f.Path, err), endOf(f.Day))
		}
	}
	return nil
}

// sinkError is one of whoever takes the rows.
type sinkError struct{ error }

func (e *sinkError) Unwrap() error { return e.error }

func isSink(err error) bool {
	_, is := errors.AsType[*sinkError](err)
	return is
}

// file scans a sealed file.
func (x *Scanner) file(path string, m *match, s sink) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // pruned
	}
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	return x.parquet(f, st.Size(), m, s)
}

// parquet scans the content of a sealed file. What a damaged one makes the library do is
// an error.
func (x *Scanner) parquet(f io.ReaderAt, size int64, m *match, s sink) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("malformed: %v", p)
		}
	}()
	p, err := parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(16<<10))
	if err != nil {
		return err
	}
	if got := p.Schema().Columns(); len(got) < int(columns) {
		return fmt.Errorf("it has %d columns, not %d", len(got), int(columns))
	}
	for c := range columns {
		if name := p.Schema().Columns()[c][0]; name != c.Name() {
			return fmt.Errorf("column %d is %s, not %s", int(c)+1, name, c.Name())
		}
	}
	for _, rg := range p.RowGroups() {
		if rg.NumRows() < 0 || rg.NumRows() > 4*groupRows {
			return fmt.Errorf("a group of %d rows", rg.NumRows())
		}
		x.batch.rowGroup(rg)
		if err := x.match(m, s); err != nil {
			return err
		}
	}
	return nil
}

// segment scans a segment of the journal.
func (x *Scanner) segment(from string, list []uint64, i int, m *match, s sink) error {
	fixes, err := journal.LoadFixes(from, list, i, &journal.Visitor{
		Damage: func(d *journal.Damage) { x.damaged(d, ever) },
		Lost: func(l journal.Lost) {
			if l.Fixes > 0 {
				x.damaged(fmt.Errorf("read journal segment %d: better figures of %d rows are missing: they could not be written", list[i], l.Fixes), ever)
			}
		},
	})
	if err != nil {
		return err
	}
	if fixes.Missing > 0 {
		x.damaged(fmt.Errorf("read journal segment %d: %d rows are missing: they could not be written, or not be read", list[i], fixes.Missing), ever)
	}
	seg, err := journal.OpenSegment(from, list[i])
	if err != nil {
		return err
	}
	defer seg.Close()
	h := newHeader(seg.Header)
	x.batch.reset(0)
	x.batch.read = nil
	var c record
	var failed error
	err = seg.Read(&journal.Visitor{Row: func(r *journal.Row) {
		if failed != nil {
			return
		}
		fixes.Apply(r)
		c.fill(h, r)
		if x.batch.add(&c); x.batch.n == journalRows {
			failed = x.match(m, s)
			x.batch.reset(0)
		}
	}})
	if err == nil && failed == nil && x.batch.n > 0 {
		failed = x.match(m, s)
	}
	return errors.Join(failed, err)
}

// match hands the rows of the batch that match to s.
func (x *Scanner) match(m *match, s sink) error {
	x.rows += uint64(x.batch.n)
	if x.Stop != nil {
		if err := x.Stop(); err != nil {
			return &sinkError{err}
		}
	}
	found, err := m.find(&x.batch, x.Owner)
	if err != nil || len(found) == 0 {
		return err
	}
	return s.take(&x.batch, found)
}
