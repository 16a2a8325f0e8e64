// SPDX-License-Identifier: Apache-2.0

package history

import (
	"cmp"
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
)

// Row is what the processes of one group, command, user or hour used.
type Row struct {
	Group   uint32
	Command string
	UID     uint32
	Hour    uint32
	Daily   bool // Hour is the first of a UTC day that Usage is of
	Usage   usage.Usage
}

// Report adds up cells. Total counts each process once; Ungrouped and
// Unattributed are parts of it.
type Report struct {
	Total, Ungrouped, Unattributed usage.Usage
	// Daily: rows of hours before it are of days. It is a multiple of 24.
	Daily uint32

	by    By
	wants func(group uint32) bool
	all   bool
	rows  map[rowKey]*usage.Usage
}

type rowKey struct {
	n       uint32 // group, user or hour
	command string
}

// NewReport returns an empty report. wants says whether a group is to be
// reported on; one that was deleted is not. Unless all is set, only processes in
// such groups count.
func NewReport(by By, wants func(uint32) bool, all bool) *Report {
	return &Report{by: by, wants: wants, all: all, rows: map[rowKey]*usage.Usage{}}
}

// Add adds a cell.
func (r *Report) Add(k *Key, u *usage.Usage) {
	in := false
	for _, g := range k.Groups {
		if r.wants(g) {
			in = true
			if r.by == ByGroup {
				r.row(rowKey{n: g}).Add(u)
			}
		}
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
	case ByHour:
		hour := k.Hour
		if hour < r.Daily {
			hour = Day(hour)
		}
		r.row(rowKey{n: hour}).Add(u)
	}
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
		row := Row{Command: k.command, Usage: *u}
		switch r.by {
		case ByGroup:
			row.Group = k.n
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
		)
	})
	return rows
}
