// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"errors"
	"math"
)

// Fixes are what is known better of the rows of one segment.
type Fixes struct {
	// Header is that of the segment.
	Header Header
	// Settled: no further fix comes.
	Settled bool
	// Missing is how many of the row numbers from the segment's first, up to the next
	// segment's if that is there, have no row that can be read.
	Missing uint64

	last map[uint64]Fix
}

// LoadFixes reads the fixes for the rows of segment list[i] of the journal in dir:
// they are in it and in those after it. list is what List returned. What is lost and
// damaged in the segment is told to of, and its rows, briefly and without the fixes.
func LoadFixes(dir string, list []uint64, i int, of *Visitor) (*Fixes, error) {
	s, err := OpenSegment(dir, list[i])
	if err != nil {
		return nil, err
	}
	defer s.Close()
	f := &Fixes{last: map[uint64]Fix{}}
	first, end := s.Base, uint64(math.MaxUint64)
	settled, seen := uint64(0), uint64(0)
	rows, beyond := uint64(0), s.Base // that there are, and the number after the last that there should be
	f.Header = s.Header
	defer func() { f.Missing = beyond - first - min(rows, beyond-first) }()
	v := Visitor{
		Brief: true,
		Fix: func(x *Fix) {
			if x.Seq >= first && x.Seq < end {
				was := f.last[x.Seq]
				f.last[x.Seq] = *x
				if was.Exited && !x.Exited {
					was.Measure, was.Precision = x.Measure, x.Precision
					f.last[x.Seq] = was
				}
			}
		},
		Settled: func(seq uint64) { settled = max(settled, seq) },
		Row: func(r *Row) {
			rows++
			beyond = max(beyond, r.Seq+1)
			if seen = max(seen, r.Seq); of.Row != nil {
				of.Row(r)
			}
		},
		Lost: of.Lost, Damage: of.Damage,
	}
	if err := s.Read(&v); err != nil {
		return nil, err
	}
	v.Row, v.Lost, v.Damage = nil, nil, nil // told when it is that segment's turn
	for k, n := range list[i+1:] {
		if f.Settled = settled >= seen && settled > 0; f.Settled && k > 0 {
			return f, nil
		}
		next, err := OpenSegment(dir, n)
		if _, damaged := errors.AsType[*Damage](err); damaged {
			continue
		}
		if err != nil {
			return nil, err
		}
		if next.Source != s.Source {
			f.Settled = true // that source writes no more
			next.Close()
			return f, nil
		}
		if k == 0 {
			beyond = max(beyond, next.Base)
		}
		end = min(end, next.Base)
		err = next.Read(&v)
		next.Close()
		if err != nil {
			return nil, err
		}
	}
	f.Settled = settled >= seen && settled > 0
	return f, nil
}

// Apply puts the last fix of a row, if there is one, in the place of its figures.
func (f *Fixes) Apply(r *Row) {
	if x, ok := f.last[r.Seq]; ok {
		x.Apply(r)
	}
}

// Len is how many rows have a fix.
func (f *Fixes) Len() int { return len(f.last) }
