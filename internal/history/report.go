// SPDX-License-Identifier: Apache-2.0

package history

import (
	"cmp"
	"encoding/binary"
	"slices"

	"elsa/pkg/usage"
)

// By is what the rows of a report tell apart.
type By string

const (
	ByGroup   By = "group"
	ByCommand By = "command"
	ByUser    By = "user"
	ByHour    By = "hour"
	// BySet tells apart sets of groups and, in each, users.
	BySet By = "set"
)

// Row is what the processes of one group, command, user, hour or set used.
type Row struct {
	Group int // as wants numbers it
	// Set are the numbers of a set's groups, ascending.
	Set          []int
	Unattributed bool
	Command      string
	UID          uint32
	Hour         uint32
	Daily        bool // Hour is the first of a UTC day that Usage is of
	Usage        usage.Usage
}

// Report adds up cells. Total counts each process once; Ungrouped and
// Unattributed are parts of it.
type Report struct {
	Total, Ungrouped, Unattributed usage.Usage
	// Daily: rows of hours before it are of days. It is a multiple of 24.
	Daily uint32

	by    By
	wants func(group uint32) []int
	all   bool
	rows  map[rowKey]*usage.Usage
	in    []int // the numbers of a cell's groups
}

type rowKey struct {
	n       uint32 // group, user or hour
	command string // or the numbers of a set
	unknown bool   // the unattributed set
}

// NewReport returns an empty report. wants are the numbers, from 0, of the rows by group
// in which a group counts: of one that was merged, that of the group it is now in; of
// one with a parent, that too. One with none, as one that was deleted, is not reported
// on. A process counts once in a row. Unless all is set, only processes in such groups
// count.
func NewReport(by By, wants func(uint32) []int, all bool) *Report {
	return &Report{by: by, wants: wants, all: all, rows: map[rowKey]*usage.Usage{}}
}

// Add adds a cell. One that is Filled counts in rows by group and, where groups are
// asked for, in the others: no total of all processes has it.
func (r *Report) Add(k *Key, u *usage.Usage) {
	r.in = r.numbers(r.in[:0], k.Groups)
	in := len(r.in) > 0
	if k.Filled {
		had := r.numbers(nil, k.Groups[1:])
		r.in = slices.DeleteFunc(r.in, func(n int) bool { return slices.Contains(had, n) })
		in = len(r.in) > 0
		if r.all || len(had) > 0 { // another cell has the processes
			if in && r.by == ByGroup {
				r.addGroups(u)
			}
			return
		}
	}
	if r.by == ByGroup {
		r.addGroups(u)
	}
	switch {
	case in:
	case !r.all:
		return
	case k.Unattributed:
		r.Unattributed.Add(u)
	default:
		r.Ungrouped.Add(u)
	}
	r.Total.Add(u)
	switch r.by {
	case ByCommand:
		r.row(rowKey{command: k.Command}).Add(u)
	case ByUser:
		r.row(rowKey{n: k.UID}).Add(u)
	case BySet:
		slices.Sort(r.in)
		r.row(rowKey{n: k.UID, command: setName(r.in), unknown: k.Unattributed}).Add(u)
	case ByHour:
		hour := k.Hour
		if hour < r.Daily {
			hour = Day(hour)
		}
		r.row(rowKey{n: hour}).Add(u)
	}
}

// addGroups adds to the rows of the groups of a cell.
func (r *Report) addGroups(u *usage.Usage) {
	for _, n := range r.in {
		r.row(rowKey{n: uint32(n)}).Add(u)
	}
}

// numbers appends the numbers of the rows that groups count in, each once.
func (r *Report) numbers(in []int, groups []uint32) []int {
	for _, g := range groups {
		for _, n := range r.wants(g) {
			if !slices.Contains(in, n) {
				in = append(in, n)
			}
		}
	}
	return in
}

// setName encodes a set, as setOf decodes it.
func setName(set []int) string {
	b := make([]byte, 0, 4*len(set))
	for _, n := range set {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	return string(b)
}

func setOf(name string) (set []int) {
	for b := []byte(name); len(b) >= 4; b = b[4:] {
		set = append(set, int(binary.BigEndian.Uint32(b)))
	}
	return set
}

// Day is the first hour of the UTC day of an hour.
func Day(hour uint32) uint32 { return hour - hour%24 }

func (r *Report) row(k rowKey) *usage.Usage {
	u := r.rows[k]
	if u == nil {
		u = new(usage.Usage)
		r.rows[k] = u
	}
	return u
}

// Rows returns the rows: hours in order of time, others by CPU time, the most
// first.
func (r *Report) Rows() []Row {
	rows := make([]Row, 0, len(r.rows))
	for k, u := range r.rows {
		row := Row{Usage: *u}
		switch r.by {
		case ByGroup:
			row.Group = int(k.n)
		case ByCommand:
			row.Command = k.command
		case BySet:
			row.Set, row.UID, row.Unattributed = setOf(k.command), k.n, k.unknown
		case ByUser:
			row.UID = k.n
		case ByHour:
			row.Hour, row.Daily = k.n, k.n < r.Daily
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(
			cmp.Compare(a.Hour, b.Hour), cmp.Compare(b.Usage.CPU(), a.Usage.CPU()),
			cmp.Compare(a.Group, b.Group), cmp.Compare(a.UID, b.UID), cmp.Compare(a.Command, b.Command),
			slices.Compare(a.Set, b.Set),
		)
	})
	return rows
}
