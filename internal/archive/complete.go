// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"elsa/internal/journal"
)

// ever is a time that has not come: nobody knows from when on nothing is missing.
const ever = math.MaxInt64

// damaged tells of what cannot be read or is missing; what ended before a time may be
// in it.
func (x *Scanner) damaged(err error, before int64) {
	x.doubt = max(x.doubt, before)
	x.Damage(err)
}

// endOf is the end of a UTC day.
func endOf(day string) int64 {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return ever
	}
	return t.AddDate(0, 0, 1).UnixNano()
}

// lastDay is the end of the last day that the segments of a line of the list may be
// about: that of what was sealed up to them.
func lastDay(e *listed, files []File) int64 {
	end := endOf(e.day)
	name := e.name[strings.LastIndexByte(e.name, '-')+1:]
	last, err := strconv.ParseUint(name, 10, 64)
	if err != nil {
		return ever
	}
	for i := range files {
		if files[i].segment() <= last {
			end = max(end, endOf(files[i].Day))
		}
	}
	return end
}

// segment is the number of the segment that a file was made of.
func (f *File) segment() uint64 {
	name := f.madeOf()
	n, _ := strconv.ParseUint(name[max(len(name)-10, 0):], 10, 64)
	return n
}

// orderSlack is how much later a process may have ended that has an earlier row.
const orderSlack = 5 * time.Second

var errEnough = errors.New("enough")

// first notes when the process of the first row ended.
type first struct{ ended int64 }

func (s *first) take(b *batch, found []int32) error {
	if err := b.need(Ended); err != nil {
		return err
	}
	s.ended = b.ints[Ended][found[0]]
	return &sinkError{errEnough}
}

// Since is the time from which on the archive has every process that ended, as far as it
// was looked at: where it begins, or where what is missing ends. ok is false if that is
// not known, or if nothing is there.
func (x *Scanner) Since() (since time.Time, ok bool, err error) {
	if x.doubt == ever {
		return since, false, nil
	}
	files, err := Files(x.Dir)
	if err != nil {
		return since, false, err
	}
	from := filepath.Join(x.Dir, journal.Subdir)
	segments, err := journal.List(from)
	if err != nil {
		return since, false, err
	}
	all := &match{q: &everyRow}
	var s first
	var number uint64
	switch {
	case len(files) > 0:
		number = files[0].segment()
		err = x.file(files[0].Path, all, &s)
	case len(segments) > 0:
		number = segments[0]
		err = x.segment(from, segments, 0, all, &s)
	}
	if err != nil && !errors.Is(err, errEnough) {
		return since, false, nil // it was named as damaged
	}
	if s.ended == 0 {
		return since, false, nil
	}
	begin := s.ended
	if number > 1 { // what was before it is gone
		begin += int64(orderSlack)
	}
	return time.Unix(0, max(begin, x.doubt)).UTC(), true, nil
}
