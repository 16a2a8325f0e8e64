// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"elsa/internal/fault"
	"elsa/internal/journal"
)

// Sizes of a file. Small pages and row groups keep a writer below 8 MiB.
const (
	fileRows  = 65000
	groupRows = 16 << 10
	pageBytes = 16 << 10
	batchRows = 512
)

// Sealed says what Seal did.
type Sealed struct {
	Segments, Files int
	Rows            uint64
	// Lost are rows that the service could not write, as the journal tells.
	Lost   uint64
	Damage []error // what cannot be read
}

// Seal makes files of every segment of the journal of the archive in dir that is full
// and settled. A failure leaves what is not sealed to the next call.
func Seal(dir string) (done Sealed, err error) {
	from := filepath.Join(dir, journal.Subdir)
	list, err := journal.List(from)
	if err != nil {
		return done, err
	}
	known, there, err := readList(dir)
	if err != nil {
		return done, err
	}
	last, err := journal.LastSealed(dir)
	if err != nil { // it can be made anew
		done.Damage = append(done.Damage, err)
		last = lastListed(known, 0)
		if err := writeFile(dir, journal.SealedName, journal.SealedText(last)); err != nil {
			return done, err
		}
	}
	before := lastListed(known, last)
	for i, n := range list[:written(from, list)] {
		if n <= last {
			continue
		}
		if !there { // before the first file, which somebody may delete
			if err := enlist(dir, nil); err != nil {
				return done, fmt.Errorf("seal segment %d: %w", n, err)
			}
			there = true
		}
		made, ok, err := sealOne(dir, from, list, i, before, &done)
		if err != nil {
			return done, fmt.Errorf("seal segment %d: %w", n, err)
		}
		if !ok {
			return done, nil // those after it refer to it
		}
		if err := enlist(dir, made); err != nil {
			return done, fmt.Errorf("seal segment %d: %w", n, err)
		}
		fault.Point(fault.SealListed)
		before = max(before, n)
		if err := writeFile(dir, journal.SealedName, journal.SealedText(n)); err != nil {
			return done, fmt.Errorf("seal segment %d: %w", n, err)
		}
		fault.Point(fault.SealMarked)
		done.Segments++
	}
	return done, nil
}

// written is the place of the segment that is written to: the last of which something is
// committed. While nothing is of the next one, it may be cut off, and the writer goes on
// with the one before.
func written(from string, list []uint64) int {
	for i, n := range slices.Backward(list) {
		if s, err := journal.OpenSegment(from, n); err == nil {
			committed, err := s.Committed()
			s.Close()
			if err == nil && committed > 0 {
				return i
			}
		}
	}
	return 0
}

// sealOne seals segment list[i], if it is settled, and says what was made of it. before
// is the number of the one that was sealed before.
func sealOne(dir, from string, list []uint64, i int, before uint64, done *Sealed) (made []listed, ok bool, err error) {
	tell := func(d *journal.Damage) { done.Damage = append(done.Damage, d) }
	days, lost := map[int64]uint64{}, journal.Lost{}
	missing := func(name string, n uint64) {
		first := day(time.Now().UnixNano())
		if len(days) > 0 {
			first = slices.Min(slices.Collect(maps.Keys(days)))
		}
		made = append(made, listed{date(first), name, n})
	}
	defer func() {
		if ok && list[i] > before+1 {
			g := gap{before + 1, list[i] - 1}
			done.Damage = append(done.Damage, g.err())
			missing(g.name(), 1) // or more
		}
	}()
	fixes, err := journal.LoadFixes(from, list, i, &journal.Visitor{
		Row:    func(r *journal.Row) { days[day(r.End)]++ },
		Lost:   func(l journal.Lost) { lost.Add(l) },
		Damage: tell,
	})
	if d, damaged := errors.AsType[*journal.Damage](err); damaged {
		tell(d)
		missing(segmentName(list[i]), 1) // or more
		return made, true, nil           // nothing in it can be read
	}
	if err != nil || !fixes.Settled {
		return nil, false, err
	}
	done.Lost += lost.Rows
	fault.Point(fault.SealBegin)
	for _, d := range slices.Sorted(maps.Keys(days)) {
		if err := sealDay(dir, from, list[i], d, days[d], fixes); err != nil {
			return nil, false, err
		}
		n := int((days[d] + fileRows - 1) / fileRows)
		for k := range n {
			made = append(made, listed{day: date(d), name: fileName(fixes.Header, k)})
		}
		done.Files += n
		done.Rows += days[d]
	}
	if fixes.Missing > 0 {
		missing(segmentName(list[i]), fixes.Missing)
	}
	if lost.Fixes > 0 {
		missing(fixesOf+segmentName(list[i]), lost.Fixes)
	}
	return made, true, nil
}

const dayNS = int64(24 * time.Hour)

// day is the UTC day of a time, in days since 1970.
func day(ns int64) int64 {
	d := ns / dayNS
	if ns%dayNS < 0 {
		d--
	}
	return d
}

// date is a day as its directory names it.
func date(d int64) string { return time.Unix(0, 0).UTC().AddDate(0, 0, int(d)).Format(time.DateOnly) }

// dayDir is the directory of a date.
func dayDir(dir, date string) string { return filepath.Join(dir, dayPrefix+date) }

const dayPrefix = "day="

// sealDay writes the rows of a segment that ended on a day.
func sealDay(dir, from string, n uint64, d int64, rows uint64, fixes *journal.Fixes) error {
	s, err := journal.OpenSegment(from, n)
	if err != nil {
		return err
	}
	defer s.Close()
	path := dayDir(dir, date(d))
	if err := os.Mkdir(path, 0o750); err == nil {
		err = journal.SyncDir(dir)
		if err != nil {
			return err
		}
	} else if !errors.Is(err, os.ErrExist) {
		return err
	}
	h := newHeader(s.Header)
	var w *Writer
	count, files := uint64(0), 0
	err = s.Read(&journal.Visitor{Row: func(r *journal.Row) {
		if day(r.End) != d || err != nil {
			return
		}
		if w == nil {
			if w, err = create(path, fileName(s.Header, files), h); err != nil {
				return
			}
		}
		fixes.Apply(r)
		err = w.Row(h, r)
		if count++; err == nil && (count%fileRows == 0 || count == rows) {
			err = w.finish()
			w, files = nil, files+1
		}
	}})
	if w != nil {
		w.abandon()
	}
	if err == nil && count != rows {
		err = fmt.Errorf("read journal segment %d: %d rows of %s are there, %d were counted", n, count, date(d), rows)
	}
	return err
}

// fileName names the k-th file of a day that is made of a segment.
func fileName(of journal.Header, k int) string {
	h := newHeader(of)
	if k == 0 {
		return h.madeOf() + ".parquet"
	}
	return fmt.Sprintf("%s-%d.parquet", h.madeOf(), k)
}

// Writer writes rows to one Parquet file.
type Writer struct {
	file *os.File
	path string
	out  *parquet.GenericWriter[record]
	rows []record
}

// tmp ends the name of a file that is not whole.
const tmp = ".tmp"

func create(dir, name string, h *header) (*Writer, error) {
	path := filepath.Join(dir, name)
	f, err := os.OpenFile(path+tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return nil, err
	}
	w := &Writer{file: f, path: path, rows: make([]record, 0, batchRows)}
	w.out = newParquet(f, parquet.KeyValueMetadata("elsa.host", h.Host), parquet.KeyValueMetadata("elsa.segment", strconv.FormatUint(h.Number, 10)))
	return w, nil
}

var codec = zstd.Codec{Level: zstd.SpeedFastest, Concurrency: 1}

func newParquet(f io.Writer, options ...parquet.WriterOption) *parquet.GenericWriter[record] {
	return parquet.NewGenericWriter[record](f, append(options, schema, parquet.Compression(&codec),
		parquet.PageBufferSize(pageBytes), parquet.MaxRowsPerRowGroup(groupRows), parquet.DataPageStatistics(false),
		parquet.WriteBufferSize(32<<10), parquet.CreatedBy("elsa", "1", ""))...)
}

// Row adds a row.
func (w *Writer) Row(h *header, r *journal.Row) error {
	w.rows = w.rows[:len(w.rows)+1]
	w.rows[len(w.rows)-1].fill(h, r)
	if len(w.rows) < cap(w.rows) {
		return nil
	}
	return w.put()
}

func (w *Writer) put() error {
	_, err := w.out.Write(w.rows)
	w.rows = w.rows[:0]
	return err
}

// finish makes the file whole, and safe, under its name.
func (w *Writer) finish() error {
	err := w.put()
	if err == nil {
		err = w.out.Close()
	}
	if err == nil {
		if err = fault.Point(fault.SealWritten); err == nil {
			err = w.file.Sync()
		}
	}
	if err = errors.Join(err, w.file.Close()); err == nil {
		fault.Point(fault.SealSynced)
		if err = os.Rename(w.path+tmp, w.path); err == nil {
			fault.Point(fault.SealRenamed)
			return journal.SyncDir(filepath.Dir(w.path))
		}
	}
	os.Remove(w.path + tmp)
	return err
}

func (w *Writer) abandon() {
	w.file.Close()
	os.Remove(w.path + tmp)
}

// writeFile puts a file in the place of one, whole and safe.
func writeFile(dir, name string, b []byte) error {
	f, err := os.OpenFile(filepath.Join(dir, name+tmp), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), strings.TrimSuffix(f.Name(), tmp)); err != nil {
		return err
	}
	return journal.SyncDir(dir)
}

func commandName(comm [16]byte) string {
	b, _, _ := bytes.Cut(comm[:], []byte{0})
	return strings.ToValidUTF8(string(b), "\uFFFD")
}
