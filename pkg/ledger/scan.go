// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"cmp"
	"errors"
	"hash/crc32"
	"io"

	"elsa/pkg/acct"
)

// errReplaced says that a file no longer has what was read from it before.
var errReplaced = errors.New("read accounting file: it was truncated or replaced")

// batchSize is how many records are handed over at once.
const batchSize = 1024

// scanner finds the records in a stretch of an accounting file. What it finds
// depends on nothing but the bytes: 64 that decode are a record, else the first
// of them is skipped. So it finds the next record also behind a torn one or
// foreign bytes, and reading in parts finds the same as reading at once.
//
// The zero value is ready. It is for one goroutine.
type scanner struct {
	buf  []byte // what precedes the stretch, up to a record, and a batch of it
	now  []byte // the same place again, to see that it has not changed
	recs []acct.Record
}

func (s *scanner) init() {
	if s.buf == nil {
		s.buf = make([]byte, (1+batchSize)*acct.BSDSize)
		s.now = make([]byte, acct.BSDSize)
		s.recs = make([]acct.Record, batchSize)
	}
}

// mark is a place in a file, with the checksum of the line before it or, at the
// beginning, of the line behind it. The checksum is zero if it is not known or
// not to be checked.
type mark struct {
	offset int64
	sum    uint32
}

// checksum is never zero, except of nothing.
func checksum(b []byte) uint32 {
	if len(b) == 0 {
		return 0
	}
	return max(crc32.ChecksumIEEE(b), 1)
}

// markAt returns the mark at an offset of f.
func markAt(f io.ReaderAt, offset int64) (mark, error) {
	var b [acct.BSDSize]byte
	line := b[:]
	if offset > 0 {
		line = b[:min(offset, acct.BSDSize)]
	}
	n, err := f.ReadAt(line, max(offset-acct.BSDSize, 0))
	if offset == 0 && err == io.EOF {
		return mark{}, nil // no line yet
	}
	if err != nil && n < len(line) {
		return mark{}, err
	}
	return mark{offset, checksum(line)}, nil
}

// matches tells whether f has at m what it had when m was made.
func (m mark) matches(f io.ReaderAt) bool {
	now, err := markAt(f, m.offset)
	return err == nil && (m.sum == 0 || now.sum == m.sum)
}

// read hands the records of f from m to the offset end to emit. It returns the
// mark behind the last batch that emit took, which is less than a record short
// of end, or at the end of the file. It adds to sk what it met up to there. It
// fails with errReplaced if the bytes before m are not what they were.
func (s *scanner) read(f io.ReaderAt, m mark, end int64, sk *Skipped, emit func([]acct.Record) error) (mark, error) {
	s.init()
	for end-m.offset >= acct.BSDSize {
		// What is before must be there, still, when what is new has been read:
		// then the file was not cut and written anew meanwhile.
		before := int(min(m.offset, acct.BSDSize))
		b := s.buf[:before+int(min(end-m.offset, batchSize*acct.BSDSize))]
		n, err := f.ReadAt(b, m.offset-int64(before))
		if err != nil && err != io.EOF {
			return m, err
		}
		b = b[:n]
		known := b[:min(n, cmp.Or(before, acct.BSDSize))]
		if n < before || m.sum != 0 && checksum(known) != m.sum || !s.unchanged(f, m.offset-int64(before), b) {
			return m, errReplaced
		}
		var met Skipped
		k, i := 0, before
		for len(b)-i >= acct.BSDSize {
			line := (*[acct.BSDSize]byte)(b[i:])
			if !acct.HasPID(line) || acct.DecodeBSD(line[:], &s.recs[k]) != nil {
				met.Bytes++
				i++
				continue
			}
			i += acct.BSDSize
			if acct.IsCaller(line) {
				met.Callers++
				continue
			}
			k++
		}
		if k > 0 {
			if err := emit(s.recs[:k]); err != nil {
				return m, err
			}
		}
		sk.Add(met)
		if i > before {
			m.offset += int64(i - before)
			m.sum = checksum(b[max(0, i-acct.BSDSize):i])
		}
		if err == io.EOF {
			break
		}
	}
	return m, nil
}

// unchanged tells whether f has at an offset what b begins with.
func (s *scanner) unchanged(f io.ReaderAt, offset int64, b []byte) bool {
	b = b[:min(len(b), acct.BSDSize)]
	n, _ := f.ReadAt(s.now[:len(b)], offset)
	return bytes.Equal(s.now[:n], b)
}

// stretch is a piece of a file that is records from end to end.
type stretch struct{ from, to int64 }

// readBackward hands the records that read would find between two offsets to
// emit, last first.
func (s *scanner) readBackward(f io.ReaderAt, from, to int64, emit func([]acct.Record) error) error {
	s.init()
	stretches, err := s.stretches(f, from, to)
	if err != nil {
		return err
	}
	for i := len(stretches) - 1; i >= 0; i-- {
		st := stretches[i]
		for st.to > st.from {
			b := s.buf[:min(st.to-st.from, batchSize*acct.BSDSize)]
			st.to -= int64(len(b))
			if _, err := f.ReadAt(b, st.to); err != nil {
				return err
			}
			k := 0
			for ; len(b) > 0; b = b[:len(b)-acct.BSDSize] {
				line := (*[acct.BSDSize]byte)(b[len(b)-acct.BSDSize:])
				if acct.IsCaller(line) {
					continue
				}
				if acct.DecodeBSD(line[:], &s.recs[k]) != nil {
					return errReplaced // it did decode a moment ago
				}
				k++
			}
			if k > 0 {
				if err := emit(s.recs[:k]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// stretches finds where the records are: where one begins is only known from
// the front. Mostly it is all one stretch.
func (s *scanner) stretches(f io.ReaderAt, from, to int64) ([]stretch, error) {
	var all []stretch
	var r acct.Record
	for to-from >= acct.BSDSize {
		b := s.buf[:min(to-from, int64(len(s.buf)))]
		n, err := f.ReadAt(b, from)
		if err != nil && err != io.EOF {
			return nil, err
		}
		b = b[:n]
		i := 0
		for len(b)-i >= acct.BSDSize {
			if line := (*[acct.BSDSize]byte)(b[i:]); !acct.HasPID(line) || acct.DecodeBSD(line[:], &r) != nil {
				i++
				continue
			}
			at := from + int64(i)
			if k := len(all) - 1; k >= 0 && all[k].to == at {
				all[k].to += acct.BSDSize
			} else {
				all = append(all, stretch{at, at + acct.BSDSize})
			}
			i += acct.BSDSize
		}
		from += int64(i)
		if err == io.EOF {
			break
		}
	}
	return all, nil
}
