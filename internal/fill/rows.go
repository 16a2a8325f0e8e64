// SPDX-License-Identifier: Apache-2.0

// Package fill keeps what groups took of the past: which rows of the journal, and what
// these used. It does no I/O and reads no clock.
package fill

import (
	"encoding/binary"
	"errors"
	"math"
)

// Run is a run of row numbers, First and Last included.
type Run struct{ First, Last uint64 }

// errRows means that bytes are no list of runs.
var errRows = errors.New("rows are not runs in ascending order")

// AppendRun appends a run to encoded runs that end with the number last, 0 if there are
// none: two varints as in encoding/binary, how many numbers are left out since last, and
// by how many the run is longer than one. A lone row takes some two bytes.
func AppendRun(b []byte, last uint64, r Run) []byte {
	b = binary.AppendUvarint(b, r.First-last-1)
	return binary.AppendUvarint(b, r.Last-r.First)
}

// Encode encodes runs, which are ascending and do not touch.
func Encode(runs []Run) (b []byte) {
	last := uint64(0)
	for _, r := range runs {
		b = AppendRun(b, last, r)
		last = r.Last
	}
	return b
}

// RunsOf are the runs of row numbers, which are ascending.
func RunsOf(numbers []uint64) (runs []Run) {
	for _, n := range numbers {
		if k := len(runs) - 1; k >= 0 && runs[k].Last+1 >= n {
			runs[k].Last = max(runs[k].Last, n)
		} else {
			runs = append(runs, Run{First: n, Last: n})
		}
	}
	return runs
}

// Each calls f for each run that b encodes, in ascending order, as long as f says so.
// Row numbers begin with 1.
func Each(b []byte, f func(Run) bool) error {
	last := uint64(0)
	for len(b) > 0 {
		gap, n := binary.Uvarint(b)
		if n <= 0 {
			return errRows
		}
		b = b[n:]
		more, n := binary.Uvarint(b)
		if n <= 0 {
			return errRows
		}
		b = b[n:]
		if last == math.MaxUint64 || gap > math.MaxUint64-1-last || more > math.MaxUint64-1-last-gap {
			return errRows
		}
		r := Run{First: last + gap + 1, Last: last + gap + 1 + more}
		if last = r.Last; !f(r) {
			return nil
		}
	}
	return nil
}

// Decode decodes runs.
func Decode(b []byte) (runs []Run, err error) {
	err = Each(b, func(r Run) bool { runs = append(runs, r); return true })
	return runs, err
}

// Rows are row numbers of one source: the UUID of a database.
type Rows struct {
	Source string
	// Runs are encoded; see [AppendRun].
	Runs []byte
	// First, Last and Count are of the numbers in Runs.
	First, Last, Count uint64
}

// NewRows makes Rows of encoded runs, which must be in order.
func NewRows(source string, runs []byte) (r Rows, err error) {
	r = Rows{Source: source, Runs: runs}
	err = Each(runs, func(run Run) bool {
		if r.First == 0 {
			r.First = run.First
		}
		r.Last, r.Count = run.Last, r.Count+run.Last-run.First+1
		return true
	})
	if err == nil && r.Count == 0 {
		err = errors.New("there are no rows")
	}
	return r, err
}

// Meets reports whether a row is in both.
func (r *Rows) Meets(o *Rows) bool {
	if r.Source != o.Source || r.Last < o.First || o.Last < r.First {
		return false
	}
	all, err := Decode(r.Runs)
	if err != nil {
		return true // it was checked
	}
	met := false
	Each(o.Runs, func(run Run) bool {
		for len(all) > 0 && all[0].Last < run.First {
			all = all[1:]
		}
		met = len(all) > 0 && all[0].First <= run.Last
		return !met
	})
	return met
}
