// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"elsa/internal/engine"
	"elsa/internal/history"
	"elsa/internal/pipeline"
	"elsa/internal/store"
	"elsa/pkg/api"
	"elsa/pkg/usage"
)

// Bounds of an answer. Another hour begins only below the first; of an hour with more
// than the second the rest is told by groups and user alone.
const (
	answerCells = 5000
	hourCells   = 20000
)

// Cells tells the cells of the hours that changed.
func (s *Service) Cells(ctx context.Context, who api.Caller, q api.CellsQuery) (out api.Cells, err error) {
	if err := who.MayReadCells(); err != nil {
		return out, err
	}
	names := map[uint32]string{}
	var since, committed time.Time
	var daily uint32
	err = s.ask(ctx, who, func(t pipeline.Turn) error {
		if err := t.Step(); err != nil {
			return err
		}
		t.Commit()
		nameGroups(t.Engine(), names)
		since, daily = t.Engine().HistoryFrom(t.Now())
		committed = t.Committed()
		return nil
	})
	out.Time = time.Now().UTC()
	if unsafe := (*pipeline.NotSafeError)(nil); errors.As(err, &unsafe) {
		out.Time = committed.UTC() // the cells end there
	} else if err != nil {
		return out, err
	}
	first := max(usage.HourOf(since.Unix()), daily)
	out.Source, out.Host, out.Columns = s.Source, s.Host, api.CellColumns()
	out.Since = usage.HourStart(first)
	if !q.From.IsZero() {
		first = max(first, usage.HourOf(q.From.Unix()))
	}
	list := cellList{most: hourCells}
	err = s.read(ctx, func(ctx context.Context) (err error) {
		out.Mark, err = s.Store.HistoryAfter(q.After, first, math.MaxUint32, func(k *history.Key, u *usage.Usage) error {
			if k.Filled {
				return nil // these processes are in another cell
			}
			if err := list.add(k, u); err != nil {
				return err
			}
			return ctx.Err()
		})
		return err
	})
	if err != nil {
		return out, err
	}
	out.Hours = list.hours
	if list.next != 0 {
		next := usage.HourStart(list.next)
		out.Next = &next
	}
	s.name(&out, names)
	return out, nil
}

// nameGroups adds the groups' names by their ids and those of the groups merged into them.
func nameGroups(e *engine.Engine, names map[uint32]string) {
	for _, g := range e.Groups() {
		names[g.ID] = g.Name
		for _, id := range g.Absorbed {
			names[id] = g.Name
		}
	}
}

// name tells the names of the groups and users of cells.
func (s *Service) name(out *api.Cells, groups map[uint32]string) {
	out.Groups, out.Users = map[string]string{}, map[string]string{}
	for _, h := range out.Hours {
		for _, c := range h.Cells {
			for _, g := range c.Groups {
				if name, ok := groups[g]; ok {
					out.Groups[strconv.FormatUint(uint64(g), 10)] = name
				}
			}
			if s.Names == nil || c.UID == usage.UnknownUID {
				continue
			}
			if name, known := s.Names.User(c.UID); known && name != "" {
				out.Users[strconv.FormatUint(uint64(c.UID), 10)] = name
			}
		}
	}
}

// cellList collects the cells of hours, in the order of the history.
type cellList struct {
	most   int // of an hour
	hours  []api.CellsHour
	total  int
	next   uint32              // the hour that there was no room for
	others map[string]int      // of the last hour, by groups and user
	sums   map[int]usage.Usage // of those, by place
	last   uint32
}

func (l *cellList) add(k *history.Key, u *usage.Usage) error {
	if n := len(l.hours); n == 0 || l.last != k.Hour {
		if l.total >= answerCells {
			l.next = k.Hour
			return store.ErrEnough
		}
		l.hours = append(l.hours, api.CellsHour{Hour: usage.HourStart(k.Hour), Cells: []api.Cell{}})
		l.last, l.others, l.sums = k.Hour, map[string]int{}, map[int]usage.Usage{}
	}
	h := &l.hours[len(l.hours)-1]
	cell := api.Cell{
		Groups: append([]uint32(nil), k.Groups...), Unattributed: k.Unattributed, UID: k.UID,
		Command: strings.ToValidUTF8(k.Command, "\uFFFD"), Figures: api.Figures(u),
	}
	if len(h.Cells) >= l.most {
		key := fmt.Sprint(k.UID, k.Unattributed, k.Groups)
		i, known := l.others[key]
		if known {
			sum := l.sums[i]
			sum.Add(u)
			l.sums[i], h.Cells[i].Figures = sum, api.Figures(&sum)
			return nil
		}
		cell.Command = history.Other
		l.others[key], l.sums[len(h.Cells)] = len(h.Cells), *u
	}
	h.Cells = append(h.Cells, cell)
	l.total++
	return nil
}
