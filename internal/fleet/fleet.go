// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"elsa/internal/cells"
	"elsa/internal/query"
	"elsa/internal/ship"
	"elsa/pkg/client"
	"elsa/pkg/usage"
)

// Reader reads a sink.
type Reader struct {
	Sink ship.Sink
	Now  func() time.Time
	// Damage is told what cannot be read. It is left out.
	Damage func(error)
}

// window is the time of a report.
type window struct {
	first, last uint32 // hours, last not among them
	end         time.Time
	until       time.Time // as a report says it
}

func windowOf(q *query.Fleet, now time.Time) *window {
	w := &window{end: q.Until}
	if w.end.IsZero() || w.end.After(now) {
		w.end = now
	}
	w.last, w.until = usage.HourOf(w.end.Add(time.Hour-time.Nanosecond).Unix()), w.end
	if whole := usage.HourStart(w.last); !whole.After(now) {
		w.until = whole
	}
	if !q.Since.IsZero() {
		w.first = usage.HourOf(q.Since.Unix())
	}
	return w
}

// report is what was added up, of sources that are all there are. oldest is the first
// hour that is there.
func (w *window) report(q *query.Fleet, now time.Time, s *sums, all map[string]*source, oldest uint32) *query.FleetReport {
	out := &query.FleetReport{Report: client.Report{Time: now, Since: usage.HourStart(w.first), Until: w.until, By: q.By}}
	if q.Since.IsZero() {
		out.Since = usage.HourStart(oldest)
	}
	s.fill(&out.Report)
	out.Fleet, _ = completeness(all, w.first, w.last, w.end)
	return out
}

// Report adds up the cells of all hosts. What two hosts sent under one identity is in it
// where one of them alone sent an hour; hours that both sent are left out.
func (r *Reader) Report(ctx context.Context, q *query.Fleet) (*query.FleetReport, error) {
	now := r.Now().UTC()
	w := windowOf(q, now)
	sums := newSums(q)
	all, oldest, err := r.read(ctx, w.first, w.last, sums.add)
	if err != nil {
		return nil, err
	}
	return w.report(q, now, sums, all, oldest), nil
}

// read gives add the cells that count of hours from first to before last, with the name of
// their host. It returns what it found of the sources, and the oldest of the hours.
func (r *Reader) read(ctx context.Context, first, last uint32, add func(b *cells.Block, host string)) (all map[string]*source, oldest uint32, err error) {
	manifests, err := ship.Files{Sink: r.Sink}.Manifests(ctx, "", r.Damage)
	if err != nil {
		return nil, 0, err
	}
	all = sourcesOf(manifests)
	days, err := r.list(ctx, first, last, all)
	if err != nil {
		return nil, 0, err
	}
	oldest = last
	for _, d := range days {
		oldest = min(oldest, d.Hour)
	}
	compareHours(all, days, first, last)
	names := hostNames(all)
	for _, c := range newest(all, days) {
		s := all[c.Source]
		b, err := r.block(ctx, s, c)
		if err != nil && ctx.Err() != nil {
			return nil, 0, ctx.Err()
		}
		if err != nil {
			r.Damage(err)
			s.damaged = true
			continue
		}
		if s.host == "" {
			s.host, names[s.id] = b.Host, b.Host
		}
		add(b, names[c.Source])
	}
	return all, oldest, nil
}

// list is the files of cells of some hours, and takes in sources without a manifest.
func (r *Reader) list(ctx context.Context, first, last uint32, all map[string]*source) (list []ship.Cells, err error) {
	prefixes := []string{"cells/"}
	if first > 0 {
		prefixes = nil
		for hour := first - first%24; hour < last; hour += 24 {
			prefixes = append(prefixes, ship.CellsDay(usage.HourStart(hour)))
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

// compareHours finds the hours that manifests tell of and of which nothing is there.
func compareHours(all map[string]*source, there []ship.Cells, first, last uint32) {
	type hour struct {
		source string
		hour   uint32
	}
	have := map[hour]bool{}
	for _, c := range there {
		have[hour{c.Source, c.Hour}] = true
	}
	for _, s := range all {
		for h := range s.hours {
			if h >= first && h < last && !have[hour{s.id, h}] {
				s.lack(h)
			}
		}
	}
}

// newest are, of each hour of each source, the cells of the highest version. They count
// where no manifest names others.
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

// again reads the manifests of a source anew; nil if there are none any more.
func (r *Reader) again(ctx context.Context, s *source) (*source, error) {
	list, err := ship.Files{Sink: r.Sink}.Manifests(ctx, s.id, r.Damage)
	return sourcesOf(list)[s.id], err
}

// tries bounds how often what was replaced meanwhile is looked for again.
const tries = 3

// block reads the cells of an hour that count: what the manifest names. Where that is not
// there the source lacks the hour, and the newest is what there is.
func (r *Reader) block(ctx context.Context, s *source, newest ship.Cells) (*cells.Block, error) {
	item := s.counts(newest.Hour)
	for n := 0; item != nil; n++ {
		c, ok := ship.ParseCells(item.Name)
		if !ok || c.Source != newest.Source || c.Hour != newest.Hour {
			return nil, fmt.Errorf("read manifest of %s: %q is no name of its cells", s.id, item.Name)
		}
		body, err := r.Sink.Get(ctx, item.Name)
		if err == nil && ship.Checksum(body) != item.SHA256 {
			err = errors.New("it is not what was sent")
		}
		if err == nil {
			return decode(c, body)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read %s: %w", item.Name, err)
		}
		now, err := r.again(ctx, s)
		if err != nil {
			return nil, err
		}
		if now == nil || now.counts(c.Hour) == nil || now.counts(c.Hour).Name == item.Name || n == tries {
			s.lack(c.Hour)
			break
		}
		item = now.counts(c.Hour)
	}
	return r.newestBlock(ctx, newest)
}

// newestBlock reads a file. One that was replaced meanwhile is looked for again.
func (r *Reader) newestBlock(ctx context.Context, c ship.Cells) (*cells.Block, error) {
	for range tries {
		body, err := r.Sink.Get(ctx, c.Name())
		if err == nil {
			return decode(c, body)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		there, err := r.Sink.List(ctx, fmt.Sprintf("%ssource=%s/", ship.CellsDay(usage.HourStart(c.Hour)), c.Source))
		if err != nil {
			return nil, err
		}
		for _, o := range there {
			if n, ok := ship.ParseCells(o.Name); ok && n.Hour == c.Hour && n.Version > c.Version {
				c = n
			}
		}
	}
	return nil, fmt.Errorf("read %s: %w", c.Name(), fs.ErrNotExist)
}

func decode(c ship.Cells, body []byte) (*cells.Block, error) {
	b, err := cells.Decode(body)
	if err == nil && (b.Source != c.Source || b.Hour != c.Hour || b.Version != c.Version) {
		err = errors.New("it is of another source, hour or version than its name says")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c.Name(), err)
	}
	return b, nil
}
