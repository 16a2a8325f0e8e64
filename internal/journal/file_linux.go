// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/fault"
)

// Options say whose journal it is.
type Options struct {
	// Dir is the directory. It must be there.
	Dir string
	// Source, Boot and Host are those of [Header].
	Source, Boot [16]byte
	Host         string
	// UserName is that of [Encoder].
	UserName func(uid uint32) string
	// MaxAge is how old a segment gets before the next begins.
	MaxAge time.Duration
	// MaxBytes bounds the journal: beyond it, the oldest segments go. MaxRows is
	// [MaxRows] or less.
	MaxBytes int64
	MaxRows  uint64
	// Sealed is the number of the last segment that was sealed, as [LastSealed] has it.
	Sealed uint64
}

// Counts are since the journal was opened.
type Counts struct {
	Rows, Fixes uint64 // written
	// Lost were not written, or went for want of room before they were sealed.
	Lost Lost
}

// Journal is a journal open for writing. It belongs to one goroutine, who closes it.
//
// Row, Fix and Settled fill memory. Flush writes it and returns the position, which
// the caller stores; Committed says that it is stored. A failure of the disk is no
// error of any of these: rows are lost and counted, and Err tells why.
type Journal struct {
	options Options
	older   bool // the database is older than what is there
	enc     Encoder
	counts  Counts
	err     error

	file      *os.File // the segment that is written to, or nil
	began     time.Time
	at        Position // what was written, and synced
	committed Position
	last      uint64 // number of the last segment made
	base      uint64 // the next row's number
	first     uint64 // number of the first row since the last Flush
	held      uint64 // rows in the segment

	rows, fixes uint64   // since the last Flush
	before      Position // the last Flush
	flushed     Lost     // what the last Flush wrote
	told        Lost     // and what it told to be lost
	owed        Lost     // to be told in the journal
	settled     uint64

	write func(f *os.File, b []byte, at int64) error // a test has its own
}

// Open opens the journal at a position: what was written after it is cut off. base is
// the number of the next row. What is left there by another source stays.
//
// If more is committed, or sealed, than the position says, it is of an older database
// that was put back. Then all of it stays, and what is written from now on is of a new
// source, since numbers of rows and segments would be used twice.
func Open(o Options, at Position, base uint64, now time.Time) (*Journal, error) {
	if at.Source != ([16]byte{}) {
		o.Source = at.Source
	}
	j := &Journal{options: o, at: at, committed: at, last: max(at.Segment, o.Sealed), base: base, write: writeSync}
	j.enc.UserName = o.UserName
	list, err := List(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	left, _ := filepath.Glob(filepath.Join(o.Dir, "*"+suffix+unfinished))
	for _, path := range left {
		os.Remove(path) // of a service that was killed; where it stays nobody reads it
	}
	j.older = o.Sealed > 0 && o.Sealed >= at.Segment
	for _, n := range list {
		s, err := OpenSegment(o.Dir, n)
		if err != nil {
			j.last = max(j.last, n)
			continue // it is named when it is read
		}
		committed, err := s.Committed()
		s.Close()
		switch {
		case n > at.Segment && err == nil && committed == 0:
			if err := os.Remove(segmentPath(o.Dir, n)); err != nil {
				return nil, fmt.Errorf("open journal: %w", err)
			}
			continue
		case n >= at.Segment && err == nil && s.Source == o.Source:
			j.older = j.older || n > at.Segment || committed > at.Length
		}
		j.last = max(j.last, n)
	}
	switch {
	case j.older:
		j.options.Source = newSource()
	case at.Segment > 0:
		j.err = j.resume(at, now)
	}
	return j, nil
}

// newSource is a random id: a UUID (RFC 9562, version 4).
func newSource() (id [16]byte) {
	rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

// resume goes on with a segment. Where that fails the next row begins another.
func (j *Journal) resume(at Position, now time.Time) error {
	s, err := OpenSegment(j.options.Dir, at.Segment)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("open journal: segment %d is gone; its rows are missing", at.Segment)
	}
	if err != nil {
		return err
	}
	s.Close()
	f, err := os.OpenFile(segmentPath(j.options.Dir, at.Segment), os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open journal segment: %w", err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil && size < at.Length {
		err = fmt.Errorf("it has %d bytes where %d were committed; rows are missing", size, at.Length)
	}
	if err == nil {
		err = f.Truncate(at.Length)
	}
	if err == nil {
		err = setCommitted(f, at.Length)
	}
	if err != nil || s.Boot != j.options.Boot || s.Source != j.options.Source || j.last > at.Segment {
		f.Close()
		if err != nil {
			return fmt.Errorf("open journal segment %d: %w", at.Segment, err)
		}
		return nil
	}
	j.file, j.began, j.held = f, now, j.base-min(s.Base, j.base)
	return nil
}

// Err is why rows were lost at the last Flush, or what was wrong when it was opened.
func (j *Journal) Err() error { return j.err }

// Position is up to where the journal is safe on disk.
func (j *Journal) Position() Position { return j.at }

// NewSource tells whether an older database was put back, as [Open] says.
func (j *Journal) NewSource() bool { return j.older }

// Counts returns the counters.
func (j *Journal) Counts() Counts { return j.counts }

// Close closes the file. What was not flushed is forgotten.
func (j *Journal) Close() error {
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}

// Row adds a row.
func (j *Journal) Row(r *Row) {
	if j.enc.Row(r); j.rows == 0 {
		j.first = r.Seq
	}
	j.rows++
	j.base = max(j.base, r.Seq+1)
}

// Fix adds a fix for a row that was flushed before.
func (j *Journal) Fix(f *Fix) {
	j.enc.Fix(f)
	j.fixes++
}

// Settled says that no fix comes for rows up to seq.
func (j *Journal) Settled(seq uint64) {
	if seq > j.settled {
		j.settled = seq
		j.enc.Settled(seq)
	}
}

// Lose counts what was not added, and has the next Flush tell of it.
func (j *Journal) Lose(l Lost) {
	j.counts.Lost.Add(l)
	j.owed.Add(l)
}

// Flush writes what was added and returns up to where the journal is safe on disk.
func (j *Journal) Flush(now time.Time) Position {
	j.before, j.flushed, j.told = j.at, Lost{}, Lost{}
	if j.enc.Len() == 0 {
		return j.at
	}
	if j.owed != (Lost{}) {
		j.enc.Lost(j.owed)
	}
	j.enc.Close()
	if j.err = j.put(j.enc.Bytes(), now); j.err != nil {
		j.Lose(Lost{j.rows, j.fixes})
		j.settled = 0 // to be told again
	} else {
		j.counts.Rows += j.rows
		j.counts.Fixes += j.fixes
		j.held += j.rows
		j.flushed, j.told, j.owed = Lost{j.rows, j.fixes}, j.owed, Lost{}
	}
	j.enc.Reset()
	j.rows, j.fixes = 0, 0
	return j.at
}

// Revert makes the last Flush one that failed: its position was not stored, and nobody
// will store it. It must come before Committed.
func (j *Journal) Revert() {
	if j.at == j.before {
		return
	}
	if j.file != nil && j.at.Segment != j.before.Segment {
		j.file.Close()
		j.file = nil
		if os.Remove(segmentPath(j.options.Dir, j.at.Segment)) == nil { // else the next Open does it: none of it is committed
			j.last = j.before.Segment // a number that is left out is told to be gone
		}
	}
	j.at = j.before
	j.held -= min(j.held, j.flushed.Rows)
	j.counts.Rows -= j.flushed.Rows
	j.counts.Fixes -= j.flushed.Fixes
	j.owed.Add(j.told)
	j.Lose(j.flushed)
	j.settled, j.flushed, j.told = 0, Lost{}, Lost{}
}

// Add adds up.
func (l *Lost) Add(m Lost) {
	l.Rows += m.Rows
	l.Fixes += m.Fixes
}

// put writes blocks to the segment, or to the next if it is full or somebody deleted it.
// All of a segment is committed before another begins.
func (j *Journal) put(b []byte, now time.Time) error {
	if j.file != nil && j.at == j.committed && deleted(j.file) {
		j.counts.Lost.Rows += j.held // readers tell by its number that it is gone
		j.file.Close()
		j.file = nil
	}
	if j.file != nil && j.at == j.committed && (j.held >= cmp.Or(j.options.MaxRows, MaxRows) || j.at.Length >= MaxSegment || now.Sub(j.began).Abs() >= j.options.MaxAge) {
		unix.Fdatasync(int(j.file.Fd())) // how much is committed
		j.file.Close()
		j.file = nil
		fault.Point(fault.JournalRotate)
	}
	if j.file == nil {
		return j.create(b, now)
	}
	if err := j.write(j.file, b, j.at.Length); err != nil {
		if cut := j.file.Truncate(j.at.Length); cut != nil && j.at == j.committed {
			j.file.Close() // nobody reads beyond what is committed
			j.file = nil
		}
		return fmt.Errorf("write journal segment %d: %w", j.at.Segment, err)
	}
	j.at.Length += int64(len(b))
	return nil
}

// create makes the next segment, with blocks in it. It has its name once all of it is safe:
// a reader never sees half a header, nor does the next Open.
func (j *Journal) create(b []byte, now time.Time) error {
	h := Header{Number: j.last + 1, Base: j.base, Source: j.options.Source, Boot: j.options.Boot, Host: j.options.Host}
	if j.rows > 0 {
		h.Base = j.first
	}
	path := segmentPath(j.options.Dir, h.Number)
	j.makeRoom()
	f, err := os.OpenFile(path+unfinished, os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o640)
	if err != nil {
		return fmt.Errorf("make journal segment: %w", err)
	}
	all := append(h.encode(0), b...)
	if err = j.write(f, all, 0); err == nil {
		err = os.Rename(path+unfinished, path)
	}
	if err == nil {
		if err = SyncDir(j.options.Dir); err != nil {
			os.Remove(path)
		}
	}
	if err != nil {
		f.Close()
		os.Remove(path + unfinished)
		return fmt.Errorf("write journal segment %d: %w", h.Number, err)
	}
	j.file, j.began, j.held, j.last = f, now, 0, h.Number
	j.at = Position{h.Number, int64(len(all)), h.Source}
	fault.Point(fault.JournalRotated)
	return nil
}

// Committed says that the position which Flush returned last is stored.
func (j *Journal) Committed() {
	if j.at == j.committed || j.file == nil {
		return
	}
	fault.Point(fault.JournalCommit)
	if err := setCommitted(j.file, j.at.Length); err != nil {
		j.err = fmt.Errorf("write journal segment %d: %w", j.at.Segment, err)
		return
	}
	j.committed = j.at
	fault.Point(fault.JournalCommitted)
}

// unfinished ends the name of a segment that is being made.
const unfinished = ".new"

// deleted tells whether an open file has no name any more.
func deleted(f *os.File) bool {
	var st unix.Stat_t
	return unix.Fstat(int(f.Fd()), &st) == nil && st.Nlink == 0
}

func writeSync(f *os.File, b []byte, at int64) error {
	if err := fault.Point(fault.JournalAppend); err != nil {
		return err
	}
	if _, err := f.WriteAt(b, at); err != nil {
		return err
	}
	fault.Point(fault.JournalWritten)
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return err
	}
	fault.Point(fault.JournalSynced)
	return nil
}

func setCommitted(f *os.File, n int64) error {
	b := encodeCommitted(n)
	_, err := f.WriteAt(b[:], committedAt)
	return err
}
