// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
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
	// MaxBytes bounds the journal: beyond it, the oldest segments go.
	MaxBytes int64
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
	enc     Encoder
	counts  Counts
	err     error

	file      *os.File // the segment that is written to, or nil
	began     time.Time
	at        Position // what was written, and synced
	committed Position
	last      uint64 // number of the last segment made
	base      uint64 // the next row's number
	held      uint64 // rows in the segment

	rows, fixes uint64 // since the last Flush
	owed        Lost   // to be told in the journal
	settled     uint64

	write func(f *os.File, b []byte, at int64) error // a test has its own
}

// Open opens the journal at a position: what was written after it is cut off. base is
// the number of the next row. What is left there by another source stays.
func Open(o Options, at Position, base uint64, now time.Time) (*Journal, error) {
	j := &Journal{options: o, at: at, committed: at, last: at.Segment, base: base, write: writeSync}
	j.enc.UserName = o.UserName
	list, err := List(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	for _, n := range list {
		if n <= at.Segment {
			continue
		}
		if s, err := OpenSegment(o.Dir, n); err == nil {
			s.Close()
			if s.Source != o.Source {
				j.last = n
				continue
			}
		}
		if err := os.Remove(segmentPath(o.Dir, n)); err != nil {
			return nil, fmt.Errorf("open journal: %w", err)
		}
	}
	if at.Segment > 0 {
		j.err = j.resume(at, now)
	}
	return j, nil
}

// resume goes on with a segment. Where that fails the next row begins another.
func (j *Journal) resume(at Position, now time.Time) error {
	s, err := OpenSegment(j.options.Dir, at.Segment)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it was sealed
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
	j.enc.Row(r)
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

// Flush writes what was added and returns up to where the journal is safe on disk.
func (j *Journal) Flush(now time.Time) Position {
	if j.enc.Len() == 0 {
		return j.at
	}
	if j.owed != (Lost{}) {
		j.enc.Lost(j.owed)
	}
	j.enc.Close()
	if j.err = j.put(j.enc.Bytes(), now); j.err != nil {
		j.counts.Lost.add(Lost{j.rows, j.fixes})
		j.owed.add(Lost{j.rows, j.fixes})
		j.settled = 0 // to be told again
	} else {
		j.counts.Rows += j.rows
		j.counts.Fixes += j.fixes
		j.held += j.rows
		j.owed = Lost{}
	}
	j.enc.Reset()
	j.rows, j.fixes = 0, 0
	return j.at
}

func (l *Lost) add(m Lost) {
	l.Rows += m.Rows
	l.Fixes += m.Fixes
}

// put writes blocks to the segment, or to the next if it is full. All of a segment is
// committed before another begins.
func (j *Journal) put(b []byte, now time.Time) error {
	if j.file != nil && j.at == j.committed && (j.held >= MaxRows || j.at.Length >= MaxSegment || now.Sub(j.began).Abs() >= j.options.MaxAge) {
		unix.Fdatasync(int(j.file.Fd())) // how much is committed
		j.file.Close()
		j.file = nil
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

// create makes the next segment, with blocks in it.
func (j *Journal) create(b []byte, now time.Time) error {
	h := Header{Number: j.last + 1, Base: j.base - min(j.rows, j.base), Source: j.options.Source, Boot: j.options.Boot, Host: j.options.Host}
	path := segmentPath(j.options.Dir, h.Number)
	j.makeRoom()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o640)
	if err != nil {
		return fmt.Errorf("make journal segment: %w", err)
	}
	all := append(h.encode(0), b...)
	if err = j.write(f, all, 0); err == nil {
		err = SyncDir(j.options.Dir)
	}
	if err != nil {
		f.Close()
		os.Remove(path)
		return fmt.Errorf("write journal segment %d: %w", h.Number, err)
	}
	j.file, j.began, j.held, j.last = f, now, 0, h.Number
	j.at = Position{h.Number, int64(len(all))}
	return nil
}

// Committed says that the position which Flush returned last is stored.
func (j *Journal) Committed() {
	if j.at == j.committed || j.file == nil {
		return
	}
	if err := setCommitted(j.file, j.at.Length); err != nil {
		j.err = fmt.Errorf("write journal segment %d: %w", j.at.Segment, err)
		return
	}
	j.committed = j.at
}

func writeSync(f *os.File, b []byte, at int64) error {
	if _, err := f.WriteAt(b, at); err != nil {
		return err
	}
	return unix.Fdatasync(int(f.Fd()))
}

func setCommitted(f *os.File, n int64) error {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	_, err := f.WriteAt(b[:], committedAt)
	return err
}
