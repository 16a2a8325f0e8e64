// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"

	"elsa/internal/fault"
	"elsa/internal/fill"
	"elsa/internal/pipeline"
	"elsa/pkg/api"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// FillState tells which rows groups have. What it says of names holds for every row that
// is in the journal when it answers.
func (s *Service) FillState(ctx context.Context, who api.Caller, q api.FillQuery) (out api.FillState, err error) {
	if err := who.MayFill(); err != nil {
		return out, err
	}
	if q.LivingOf != nil {
		if err := who.MayName(); err != nil {
			return out, err
		}
	}
	if err := s.settle(ctx, who, nil); err != nil {
		return out, err
	}
	taken := map[uint32][]fill.Taken{}
	var gs []groups.Group
	var unsettled []uint64
	err = s.do(ctx, who, func(t pipeline.Turn) error {
		if err := t.Step(); err != nil {
			return err
		}
		e := t.Engine()
		gs = e.CopyGroups()
		for _, g := range e.Groups() {
			if rows := e.Taken(g); len(rows) > 0 {
				taken[g.ID] = rows
			}
		}
		out.Version, out.Next = e.FillVersion(), e.NextRow()
		unsettled = e.UnsettledRows()
		if of := q.LivingOf; of != nil {
			for _, pid := range e.LivingOf(int32(of.PID), of.Started, t.Now()) {
				if l, ok := e.Live(pid); ok {
					out.Living = append(out.Living, api.Process{PID: int(pid), Started: e.Began(l)})
				}
			}
		}
		t.Commit()
		return nil
	})
	if err != nil {
		return out, err
	}
	out.Unsettled = fill.Encode(fill.RunsOf(unsettled))
	out.Columns, out.Groups = api.CellColumns(), make([]api.FillGroup, len(gs))
	for i := range gs {
		g := &gs[i]
		of := &out.Groups[i]
		*of = api.FillGroup{ID: g.ID, Name: g.Name, Owner: g.Owner, Named: []api.RowName{{Name: g.Name, First: g.FirstRow}}}
		for _, n := range g.Names {
			of.Named = append(of.Named, api.RowName{Name: n.Name, First: n.First, Before: n.Before})
		}
		for _, t := range taken[g.ID] {
			of.Taken = append(of.Taken, api.FillRows{Source: t.Source, Rows: t.Runs})
		}
	}
	return out, nil
}

// FillGroup lets a group take what rows used. The answer comes once it is on disk.
func (s *Service) FillGroup(ctx context.Context, who api.Caller, name string, r api.FillRequest) (out api.FillResult, err error) {
	if err := who.MayFill(); err != nil {
		return out, err
	}
	p := fill.Piece{Version: r.Version}
	for _, rows := range r.Rows {
		of, err := fill.NewRows(rows.Source, rows.Rows)
		if err != nil {
			return out, api.BadRequest("bad rows: %v", err)
		}
		p.Rows = append(p.Rows, of)
		out.Rows += of.Count
	}
	for i := range r.Cells {
		c := &r.Cells[i]
		p.Cells = append(p.Cells, fill.Cell{
			Hour: usage.HourOf(c.Hour.Unix()), Others: c.Groups, UID: c.UID, Command: c.Command, Usage: api.UsageOf(c.Figures),
		})
	}
	err = s.do(ctx, who, func(t pipeline.Turn) error {
		g, err := changeable(t.Engine(), who, name)
		if err == nil {
			err = joinable(who, g)
		}
		if err == nil {
			err = mayShow(who, g, &r)
		}
		if err != nil {
			return err
		}
		if err := t.Engine().Fill(g, &p); errors.Is(err, fill.ErrFull) {
			return api.Forbidden("%v", err)
		} else if errors.Is(err, fill.ErrStale) || errors.Is(err, fill.ErrTaken) {
			return api.Conflict("%v: ask for the state again", err)
		} else if err != nil {
			return api.BadRequest("%v", err)
		}
		fault.Point(fault.FillTaken)
		out.Version = t.Engine().FillVersion()
		t.Commit()
		return nil
	})
	fault.Point(fault.FillCommitted)
	return out, err
}

// mayShow says whether the caller may show to a group's owner what a request has, as
// mayFill does for living processes.
func mayShow(who api.Caller, g *groups.Group, r *api.FillRequest) error {
	if g.Owner == 0 || g.Owner == who.UID || r.Owner != nil && *r.Owner == g.Owner {
		return nil
	}
	for i := range r.Cells {
		if uid := r.Cells[i].UID; uid != g.Owner {
			return api.Conflict("group %s belongs to uid %d, who would see what processes of uid %d used; use another, or if that is meant, say so with owner %d (elsactl group fill --owner %[4]d)", g.Name, g.Owner, uid, g.Owner)
		}
	}
	return nil
}
