// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"elsa/internal/cells"
	"elsa/internal/history"
	"elsa/internal/query"
	"elsa/internal/rules"
	"elsa/pkg/api"
	"elsa/pkg/client"
	"elsa/pkg/groups"
)

// sums adds up cells as a report does, by names instead of numbers.
type sums struct {
	q      *query.Fleet
	report *history.Report
	ids    map[string]uint32 // of groups
	rows   [][]int           // of the group of an id
	names  []string          // of rows
	row    map[string]int
	key    history.Key
}

func newSums(q *query.Fleet) *sums {
	s := &sums{q: q, ids: map[string]uint32{}, row: map[string]int{}}
	by := history.By(q.By)
	if q.By == "user" || q.By == "host" {
		by = history.ByCommand // whose place their names take
	}
	s.report = history.NewReport(by, func(id uint32) []int { return s.rows[id] }, len(q.Groups) == 0)
	return s
}

// add adds the cells of an hour.
func (s *sums) add(b *cells.Block, host string) {
	for i := range b.Cells {
		c := &b.Cells[i]
		s.key = history.Key{Hour: b.Hour, UID: c.UID, Groups: s.key.Groups[:0], Unattributed: c.Unattributed, Command: c.Command}
		switch s.q.By {
		case "host":
			s.key.Command = host
		case "user":
			s.key.Command = userName(c)
		}
		for _, g := range c.Groups {
			s.key.Groups = append(s.key.Groups, s.id(g))
		}
		s.report.Add(&s.key, &c.Usage)
	}
}

func userName(c *cells.Cell) string {
	switch {
	case c.User != "":
		return c.User
	case c.UID == math.MaxUint32:
		return "(unknown)"
	}
	return strconv.FormatUint(uint64(c.UID), 10)
}

// id is the number of a group.
func (s *sums) id(name string) uint32 {
	id, ok := s.ids[name]
	if !ok {
		id = uint32(len(s.rows))
		s.ids[name] = id
		s.rows = append(s.rows, s.rowsOf(name))
	}
	return id
}

// rowsOf are the rows in which a group counts.
func (s *sums) rowsOf(name string) (rows []int) {
	add := func(row string) {
		n, ok := s.row[row]
		if !ok {
			n = len(s.names)
			s.row[row], s.names = n, append(s.names, row)
		}
		if !slices.Contains(rows, n) {
			rows = append(rows, n)
		}
	}
	if len(s.q.Groups) == 0 {
		add(name)
	}
	for _, want := range s.q.Groups {
		switch {
		case groups.IsParent(want) && strings.HasPrefix(name, want):
			add(want)
		case !groups.IsParent(want) && rules.Glob(want, name):
			add(name)
		}
	}
	return rows
}

// fill gives r the rows and sums.
func (s *sums) fill(r *client.Report) {
	by := r.By
	if by == "user" || by == "host" {
		r.By = "command"
	}
	api.FillReport(r, s.report, s.names)
	r.By = by
	for i := range r.Rows {
		row := &r.Rows[i]
		switch by {
		case "user":
			row.User, row.Command = row.Command, ""
		case "host":
			row.Host, row.Command = row.Command, ""
		}
	}
}
