// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"elsa/internal/cells"
	"elsa/internal/clickhouse"
	"elsa/internal/query"
	"elsa/internal/ship"
	"elsa/pkg/usage"
)

// Tables reads the tables of an engine, which adds up.
type Tables struct {
	Place ship.Tables
	Now   func() time.Time
	// Damage is told what is not as it was sent.
	Damage func(error)
}

// Report adds up the cells of all hosts, as that of a [Reader] does.
func (t *Tables) Report(ctx context.Context, q *query.Fleet) (out *query.FleetReport, err error) {
	now := t.Now().UTC()
	window := windowOf(q, now)
	for n := 0; ; n++ {
		manifests, err := t.Place.Manifests(ctx, "", t.Damage)
		if err != nil {
			return nil, err
		}
		all := sourcesOf(manifests)
		sums := newSums(q)
		there, err := t.bill(ctx, all, q, window, sums)
		if err != nil {
			return nil, err
		}
		oldest, lacks := compareSums(all, there, window.first, window.last)
		if lacks && n < tries { // was it replaced meanwhile?
			continue
		}
		return window.report(q, now, sums, all, oldest), nil
	}
}

// sum is what is there of an hour of a source.
type sum struct {
	cells     ship.Cells
	rows, cpu uint64
}

type hourOf struct {
	source string
	hour   uint32
}

// newestVersion are the cells that count: of an hour of a source those of the highest
// version, of which one writer is the last. What two hosts sent under one identity is left
// out. It is asked before the engine replaces rows, since no row of the highest version is
// replaced by another.
const newestVersion = `(source, hour, version, writer) IN (
	SELECT source, hour, max(version) AS newest, argMax(writer, version) FROM cells WHERE %[1]s GROUP BY source, hour)`

// bill gives sums the cells that count, added up by the engine, and returns what they are
// the sum of: both come of one look at the table, so what the line says of the one holds
// for the other.
func (t *Tables) bill(ctx context.Context, all map[string]*source, q *query.Fleet, w *window, sums *sums) (map[hourOf]sum, error) {
	in := fmt.Sprintf("hour < toDateTime(%d, 'UTC')", uint64(w.last)*3600)
	if w.first > 0 {
		in += fmt.Sprintf(" AND hour >= toDateTime(%d, 'UTC')", uint64(w.first)*3600)
	}
	where := in + " AND " + fmt.Sprintf(newestVersion, in)
	if twins := twinsOf(all); twins != nil {
		where += fmt.Sprintf(` AND (source, hour) NOT IN (SELECT source, hour FROM cells WHERE %s AND concat(toString(source), writer) IN %s
			GROUP BY source, hour HAVING uniqExact(writer) > 1)`, in, clickhouse.List(twins))
	}
	by, command, user, number := "", "''", "''", "0" // what is told apart besides groups
	switch q.By {
	case "command":
		by, command = ", command", "CAST(command, 'String')"
	case "user":
		by, user, number = ", user_name, number", "CAST(user_name, 'String')", "if(user_name = '', uid, 0)"
	case "host":
		by = ", source"
	case "hour":
		by = ", hour"
	}
	figures := make([]string, len(usage.Stored))
	for i, f := range usage.Stored {
		figures[i] = "sum(" + f.Info().Column() + ")"
		if f.Info().Peak {
			figures[i] = "max(" + f.Info().Column() + ")"
		}
	}
	sql := fmt.Sprintf(`SELECT toUInt8(grouping(version)), CAST(groups, 'Array(String)'), unattributed, %s, %s, toUInt32(%s) AS number,
		toString(source), CAST(any(host), 'String'), hour, version, CAST(writer, 'String'), count(), %s
		FROM cells FINAL PREWHERE %s GROUP BY GROUPING SETS ((groups, unattributed%s), (source, hour, version, writer))`,
		command, user, number, strings.Join(figures, ", "), where, by)
	there := map[hourOf]sum{}
	names := hostNames(all)
	b := cells.Block{Cells: make([]cells.Cell, 1)}
	err := t.Place.Query(ctx, sql, func(r *clickhouse.Row) error {
		ofBill := r.U8() != 0
		c := &b.Cells[0]
		c.Groups, c.Unattributed, c.Command, c.User, c.UID = r.Texts(), r.U8() != 0, r.Text(), r.Text(), r.U32()
		id, host := r.Text(), r.Text()
		b.Hour = r.U32() / 3600
		name := ship.Cells{Source: id, Hour: b.Hour, Version: r.U64(), Writer: r.Text()}
		s := sum{cells: name, rows: r.U64()}
		for _, f := range usage.Stored {
			c.Usage[f] = r.U64()
		}
		if ofBill {
			sums.add(&b, cmp.Or(names[id], host))
			return nil
		}
		s.cpu = uint64(c.Usage.CPU())
		there[hourOf{id, name.Hour}] = s
		if all[id] == nil {
			all[id] = &source{id: id, twins: map[string]bool{}, host: host}
		}
		return nil
	})
	return there, err
}

// twinsOf are the writers that interleave, each after its source.
func twinsOf(all map[string]*source) (twins []string) {
	for _, s := range all {
		for writer := range s.twins {
			twins = append(twins, s.id+writer)
		}
	}
	slices.Sort(twins)
	return twins
}

// compareSums finds the hours of which less is there than manifests tell of, and returns
// the oldest that is there. What is there in a later version was sent meanwhile.
func compareSums(all map[string]*source, there map[hourOf]sum, first, last uint32) (oldest uint32, lacks bool) {
	oldest = last
	for at := range there {
		oldest = min(oldest, at.hour)
	}
	for _, s := range all {
		for hour, item := range s.hours {
			if hour < first || hour >= last || len(s.twins) > 0 {
				continue
			}
			h := there[hourOf{s.id, hour}]
			if h.cells.Version > item.Version || h.cells.Name() == item.Name && h.rows == item.Rows && h.cpu == item.CPU {
				continue
			}
			s.lack(hour)
			lacks = true
		}
	}
	return oldest, lacks
}

// Status says how far each host has delivered: what it says it sent is compared with what
// is there, rows and CPU time. read makes no difference, since all is read.
func (t *Tables) Status(ctx context.Context, _ bool) ([]query.Host, query.Completeness, error) {
	none := query.Completeness{}
	var all map[string]*source
	var told []error
	for n := 0; n <= tries; n++ { // was it replaced meanwhile?
		manifests, err := t.Place.Manifests(ctx, "", t.Damage)
		if err != nil {
			return nil, none, err
		}
		all = sourcesOf(manifests)
		list, err := t.Place.All(ctx)
		if err != nil {
			return nil, none, err
		}
		if told = compareItems(all, list); told == nil {
			break
		}
	}
	for _, err := range told {
		t.Damage(err)
	}
	hosts, c := statusOf(all, t.Now().UTC())
	return hosts, c, nil
}

// compareItems tells what differs of what hosts say they sent.
func compareItems(all map[string]*source, list []ship.Object) (told []error) {
	there, higher := map[string]ship.Object{}, map[hourOf]uint64{}
	for _, o := range list {
		there[o.Name] = o
		if c, ok := ship.ParseCells(o.Name); ok {
			at := hourOf{c.Source, c.Hour}
			higher[at] = max(higher[at], c.Version)
		}
	}
	for _, s := range all {
		items := s.last().Items
		for i := range items {
			item := &items[i]
			o, ok := there[item.Name]
			switch {
			case item.Hour != 0 && higher[hourOf{s.id, item.Hour}] > item.Version && len(s.twins) == 0:
			case !ok:
				told = append(told, fmt.Errorf("%s: %s is not there", s.host, item.Name))
				s.missing = true
				if item.Hour != 0 {
					s.lack(item.Hour)
				}
			case o.Rows != item.Rows || o.CPU != item.CPU:
				told = append(told, fmt.Errorf("%s: %s has %d rows and %d ns of CPU, %d and %d were sent", s.host, item.Name, o.Rows, o.CPU, item.Rows, item.CPU))
				s.damaged = true
			}
		}
	}
	slices.SortFunc(told, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return told
}
