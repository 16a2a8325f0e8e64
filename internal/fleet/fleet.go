// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"elsa/internal/cells"
	"elsa/internal/history"
	"elsa/internal/query"
	"elsa/internal/rules"
	"elsa/internal/ship"
	"elsa/pkg/api"
	"elsa/pkg/client"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// Reader reads a sink.
type Reader struct {
	Sink ship.Sink
	Now  func() time.Time
	// Damage is told what cannot be read. It is left out.
	Damage func(error)
}

// Report adds up the cells of all hosts. What two hosts sent under one identity is in it
// where one of them alone sent an hour; hours that both sent are left out.
func (r *Reader) Report(ctx context.Context, q *query.Fleet) (*query.FleetReport, error) {
	now := r.Now().UTC()
	out := &query.FleetReport{Report: client.Report{Time: now, Since: q.Since, Until: q.Until, By: q.By}}
	if out.Until.IsZero() || out.Until.After(now) {
		out.Until = now
	}
	end := out.Until
	first, last := uint32(0), usage.HourOf(end.Add(time.Hour-time.Nanosecond).Unix())
	if !q.Since.IsZero() {
		first = usage.HourOf(q.Since.Unix())
	}
	manifests, err := ship.ReadManifests(ctx, r.Sink, ship.Manifests, r.Damage)
	if err != nil {
		return nil, err
	}
	all := sourcesOf(manifests)
	days, err := r.list(ctx, first, last, all)
	if err != nil {
		return nil, err
	}
	asked := first
	if q.Since.IsZero() {
		first = last
		for _, d := range days {
			first = min(first, d.Hour)
		}
	}
	compareHours(all, days, first, last)
	names := hostNames(all)
	sums := newSums(q)
	for _, c := range newest(all, days) {
		b, err := r.block(ctx, c)
		s := all[c.Source]
		if err != nil && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			r.Damage(err)
			s.damaged = true
			continue
		}
		if s.host == "" {
			s.host, names[s.id] = b.Host, b.Host
		}
		sums.add(b, names[c.Source])
	}
	sums.fill(&out.Report)
	out.Fleet, _ = completeness(all, asked, last, end)
	out.Since = hourStart(first)
	if whole := hourStart(last); !whole.After(now) {
		out.Until = whole
	}
	return out, nil
}

// list is the files of cells of some hours, and takes in sources without a manifest.
func (r *Reader) list(ctx context.Context, first, last uint32, all map[string]*source) (list []ship.Cells, err error) {
	prefixes := []string{"cells/"}
	if first > 0 {
		prefixes = nil
		for hour := first - first%24; hour < last; hour += 24 {
			prefixes = append(prefixes, ship.CellsDay(hourStart(hour)))
		}
	}
	for _, prefix := range prefixes {
		there, err := r.Sink.List(ctx, prefix)
		if err != nil {
			return nil, err
		}
		for _, o := range there {
			c, ok := ship.ParseCells(o.Name)
			if !ok || c.Hour < first || c.Hour >= last {
				continue
			}
			if all[c.Source] == nil {
				all[c.Source] = &source{id: c.Source, twins: map[string]bool{}}
			}
			list = append(list, c)
		}
	}
	return list, nil
}

// compareHours finds what manifests tell of and is not there.
func compareHours(all map[string]*source, there []ship.Cells, first, last uint32) {
	type hour struct {
		source string
		hour   uint32
	}
	versions := map[hour]uint64{}
	for _, c := range there {
		k := hour{c.Source, c.Hour}
		versions[k] = max(versions[k], c.Version)
	}
	for _, s := range all {
		if len(s.manifests) == 0 {
			continue
		}
		for _, i := range s.last().Items {
			if i.Hour != 0 && i.Hour >= first && i.Hour < last && versions[hour{s.id, i.Hour}] < i.Version {
				s.lack(i.Hour)
			}
		}
	}
}

// newest are, of each hour of each source, the cells that count.
func newest(all map[string]*source, there []ship.Cells) (list []ship.Cells) {
	slices.SortFunc(there, func(a, b ship.Cells) int {
		s := all[a.Source]
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Hour, b.Hour), cmp.Compare(a.Version, b.Version),
			cmp.Compare(s.rank(a.Writer), s.rank(b.Writer)))
	})
	for i := 0; i < len(there); {
		k, twins := i, map[string]bool{}
		for ; k < len(there) && there[k].Source == there[i].Source && there[k].Hour == there[i].Hour; k++ {
			if all[there[k].Source].twins[there[k].Writer] {
				twins[there[k].Writer] = true
			}
		}
		if len(twins) < 2 {
			list = append(list, there[k-1])
		}
		i = k
	}
	return list
}

// block reads a file. One that was replaced meanwhile is looked for again.
func (r *Reader) block(ctx context.Context, c ship.Cells) (b *cells.Block, err error) {
	for range 3 {
		body, err := r.Sink.Get(ctx, c.Name())
		if errors.Is(err, fs.ErrNotExist) {
			there, err := r.Sink.List(ctx, fmt.Sprintf("%ssource=%s/", ship.CellsDay(hourStart(c.Hour)), c.Source))
			if err != nil {
				return nil, err
			}
			for _, o := range there {
				if n, ok := ship.ParseCells(o.Name); ok && n.Hour == c.Hour && n.Version > c.Version {
					c = n
				}
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if b, err = cells.Decode(body); err == nil && (b.Source != c.Source || b.Hour != c.Hour || b.Version != c.Version) {
			err = errors.New("it is of another source, hour or version than its name says")
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", c.Name(), err)
		}
		return b, nil
	}
	return nil, fmt.Errorf("read %s: %w", c.Name(), fs.ErrNotExist)
}

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
