// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"elsa/internal/query"
)

// figures are the columns that are added up.
var figures = []Column{CPUUser, CPUSystem, CPUDelay, Elapsed, MinorFaults, MajorFaults, ReadBytes, WriteBytes,
	ReadChars, WriteChars, VoluntarySwitches, InvoluntarySwitches, MaxRSS}

// shown are those of a table; reading fewer is faster.
var shown = []Column{CPUUser, CPUSystem, Elapsed, MaxRSS}

// Sum is what the processes of one row of a summary used.
type Sum struct {
	Key       []string // a value for each of Query.By
	Processes int64    // that ended
	figures   [columns]int64
}

// Figure is the sum of a column, or the largest of MaxRSS.
func (s *Sum) Figure(c Column) int64 { return s.figures[c] }

// maxSums bounds the rows of a summary. What is beyond is in one of its own.
const maxSums = 1 << 17

// sums adds up what it takes.
type sums struct {
	by     []string
	of     []Column // figures
	list   []*Sum
	place  map[string]*Sum
	key    []byte
	batch  map[uint64]*Sum // of the batch, by places in its texts
	listed []*Sum
}

func newSums(q *query.Query) *sums {
	s := &sums{by: q.By, of: figures, place: map[string]*Sum{}, batch: map[uint64]*Sum{}}
	if q.Format == "" || q.Format == "table" {
		s.of = shown
	}
	return s
}

func (s *sums) take(b *batch, found []int32) error {
	cs := []Column{Part}
	for _, by := range s.by {
		cs = append(cs, columnOf[by])
		if by == "group" {
			cs = append(cs, Unattributed)
		}
	}
	if err := b.need(cs...); err != nil {
		return err
	}
	if err := b.need(s.of...); err != nil {
		return err
	}
	clear(s.batch)
	grouped := slices.Contains(s.by, "group")
	rows, of := found, s.listed[:0]
	if !grouped {
		for _, i := range found {
			of = append(of, s.sumOf(b, i, -1))
		}
	} else {
		rows = nil
		for _, i := range found {
			groups := b.groupsOf(i)
			if len(groups) == 0 {
				rows, of = append(rows, i), append(of, s.sumOf(b, i, -1))
			}
			for _, g := range groups {
				rows, of = append(rows, i), append(of, s.sumOf(b, i, g))
			}
		}
	}
	s.listed = of
	for k, i := range rows {
		if b.ints[Part][i] == 0 {
			of[k].Processes++
		}
	}
	for _, c := range s.of {
		v := b.ints[c]
		if c == MaxRSS {
			for k, i := range rows {
				of[k].figures[c] = max(of[k].figures[c], v[i])
			}
			continue
		}
		for k, i := range rows {
			of[k].figures[c] += v[i]
		}
	}
	return nil
}

// columnOf is what a summary needs to tell rows apart.
var columnOf = map[string]Column{"group": Groups, "command": Command, "user": UserName, "hour": Ended, "day": Ended, "exit": Status, "host": Host}

// sumOf is the sum that a row belongs to, in the group of a place in the texts.
func (s *sums) sumOf(b *batch, i, group int32) *Sum {
	quick, exact := uint64(0), len(s.by) <= 3 // a number for the values of the row, in this batch
	for _, by := range s.by {
		v := int64(0)
		switch by {
		case "group":
			if v = int64(group) + 2; group < 0 {
				v = b.ints[Unattributed][i]
			}
		case "command", "user", "host":
			v = int64(b.codes[columnOf[by]][i])
		case "hour":
			v = floor(b.ints[Ended][i], int64(time.Hour))
		case "day":
			v = day(b.ints[Ended][i])
		case "exit":
			v = b.ints[Status][i] + 1
		}
		exact = exact && v >= 0 && v < 1<<21
		quick = quick<<21 | uint64(v)&(1<<21-1)
	}
	if exact {
		if sum, ok := s.batch[quick]; ok {
			return sum
		}
	}
	s.key = s.key[:0]
	for _, by := range s.by {
		s.key = append(append(s.key, s.value(b, by, i, group)...), 0)
	}
	sum := s.place[string(s.key)]
	if sum == nil {
		values := make([]string, len(s.by))
		if len(s.list) < maxSums {
			for k, by := range s.by {
				values[k] = s.value(b, by, i, group)
			}
			sum = &Sum{Key: values}
			s.place[string(s.key)] = sum
			s.list = append(s.list, sum)
		} else {
			for k := range values {
				values[k] = "(other)"
			}
			if sum = s.place["(other)"]; sum == nil {
				sum = &Sum{Key: values}
				s.place["(other)"] = sum
				s.list = append(s.list, sum)
			}
		}
	}
	if exact {
		s.batch[quick] = sum
	}
	return sum
}

func floor(a, b int64) int64 {
	if a%b < 0 {
		return a/b - 1
	}
	return a / b
}

// value is what a row has in one of Query.By.
func (s *sums) value(b *batch, by string, i, group int32) string {
	switch by {
	case "group":
		switch {
		case group >= 0:
			return b.texts[Groups][group]
		case b.ints[Unattributed][i] != 0:
			return "(unattributed)"
		}
		return "(ungrouped)"
	case "hour":
		return time.Unix(floor(b.ints[Ended][i], int64(time.Hour))*3600, 0).UTC().Format("2006-01-02T15:04Z")
	case "day":
		return time.Unix(0, b.ints[Ended][i]).UTC().Format(time.DateOnly)
	case "exit":
		return exitText(b.ints[Status][i])
	}
	return b.str(columnOf[by], i)
}

// exitText says how a process ended.
func exitText(status int64) string {
	switch {
	case status < 0:
		return "unknown"
	case status&0x7f != 0:
		return "signal " + strconv.FormatInt(status&0x7f, 10)
	}
	return "status " + strconv.FormatInt(status>>8&0xff, 10)
}

// sorted are the sums, the most of order first, and then by their values.
func (s *sums) sorted(q *query.Query) []*Sum {
	order := orderOf(q)
	slices.SortFunc(s.list, func(a, b *Sum) int {
		for _, c := range order {
			if n := cmp.Compare(b.figures[c[0]]+b.figures[c[1]], a.figures[c[0]]+a.figures[c[1]]); n != 0 {
				return n
			}
		}
		return slices.Compare(a.Key, b.Key)
	})
	if q.Top > 0 && len(s.list) > q.Top {
		return s.list[:q.Top]
	}
	return s.list
}

// orderOf are the columns by whose sum rows are sorted. Inferred stands for nothing.
func orderOf(q *query.Query) [][2]Column {
	switch q.Sort {
	case "elapsed":
		return [][2]Column{{Elapsed, Inferred}}
	case "memory":
		return [][2]Column{{MaxRSS, Inferred}}
	case "io":
		return [][2]Column{{ReadBytes, WriteBytes}}
	case "ended":
		return [][2]Column{{Ended, Inferred}}
	case "cpu":
		return [][2]Column{{CPUUser, CPUSystem}}
	}
	if len(q.By) > 0 && !slices.Contains(q.By, "hour") && !slices.Contains(q.By, "day") {
		return [][2]Column{{CPUUser, CPUSystem}}
	}
	return nil
}
