// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"slices"
	"time"

	"elsa/internal/engine"
	"elsa/internal/pipeline"
	"elsa/internal/tally"
	"elsa/pkg/api"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

const (
	// maxPIDs is how many processes a request may name, and maxTree how many it may
	// be about with their descendants.
	maxPIDs = 4096
	maxTree = 32768
	// turnTime is how long a request that is about many processes keeps the engine at
	// a time. Each takes some 70 µs.
	turnTime = 3 * time.Millisecond
)

// AddMembers puts running processes in a group.
func (s *Service) AddMembers(ctx context.Context, who api.Caller, name string, r api.AddRequest) (out api.AddResult, err error) {
	c := change{who: who, name: name, tree: r.Tree, livingOf: r.LivingOf}
	c.allowed = func(e *engine.Engine, g *groups.Group, l groups.Life) error {
		if err := joinable(who, g); err != nil {
			return err
		}
		if !r.Move {
			if e.Full(l, g) {
				return api.Conflict("process %d is in %d groups, the most that a process may be in; none was added: take it out of one, or move it (--move)", l.PID, groups.MaxGroups)
			}
			return nil
		}
		for _, old := range e.GroupsOf(l) {
			if old != g {
				if err := who.MayTakeOut(int(l.PID), old); err != nil {
					return err
				}
			}
		}
		return nil
	}
	c.fits = func(g *groups.Group, p *proc.Process) error { return mayFill(who, g, p, r.Owner) }
	c.do = func(e *engine.Engine, g *groups.Group, l groups.Life, now engine.Now) bool {
		return e.Add(l, g, r.Move, r.WholeLife, who.UID, now)
	}
	out.Added, err = s.change(ctx, &c, r.PIDs)
	return out, err
}

// RemoveMembers takes running processes out of a group.
func (s *Service) RemoveMembers(ctx context.Context, who api.Caller, name string, r api.RemoveRequest) (out api.RemoveResult, err error) {
	c := change{who: who, name: name, tree: r.Tree}
	named := make(map[int32]bool)
	for _, pid := range r.PIDs {
		named[int32(pid)] = true
	}
	c.allowed = func(e *engine.Engine, g *groups.Group, l groups.Life) error {
		if named[l.PID] && !e.IsIn(l, g) {
			return api.NotFound("process %d is not in group %s", l.PID, name)
		}
		return nil
	}
	c.fits = func(*groups.Group, *proc.Process) error { return nil }
	c.do = func(e *engine.Engine, g *groups.Group, l groups.Life, now engine.Now) bool {
		return e.Remove(l, g, now)
	}
	out.Removed, err = s.change(ctx, &c, r.PIDs)
	return out, err
}

// change is what a request does to the members of a group.
type change struct {
	who  api.Caller
	name string
	tree bool
	// livingOf, if set, is whose live descendants it is about.
	livingOf *api.Process
	// allowed says whether the group and the process are as the change needs them,
	// fits whether the process, by its user, may be there.
	allowed func(*engine.Engine, *groups.Group, groups.Life) error
	fits    func(*groups.Group, *proc.Process) error
	// do makes the change, and reports whether there was one.
	do func(*engine.Engine, *groups.Group, groups.Life, engine.Now) bool

	group groups.Group // as it was found
	lives []groups.Life
	named int // so many of them were named
}

// change finds the processes that a request names, checks that the caller may do
// it to each of them, does it, and commits. It returns the pids of those that were
// changed. The processes are looked at outside the pipeline, and many are changed
// in several turns of it.
func (s *Service) change(ctx context.Context, c *change, pids []int) ([]int, error) {
	if err := s.find(ctx, c, pids); err != nil {
		return nil, err
	}
	if err := s.check(ctx, c); err != nil {
		return nil, err
	}
	changed := []int{}
	ctx = context.WithoutCancel(ctx) // all or none
	for done := 0; ; {
		err := s.do(ctx, c.who, func(t pipeline.Turn) error {
			e := t.Engine()
			g := e.GroupByID(c.group.ID)
			if g == nil {
				return api.NoSuchGroup(c.name)
			}
			for begin := time.Now(); done < len(c.lives) && time.Since(begin) < turnTime; done++ {
				l, ok := e.Live(c.lives[done].PID)
				if !ok || !l.Start.Same(c.lives[done].Start) {
					continue // it ended meanwhile
				}
				if err := c.allowed(e, g, l); err != nil {
					return err
				}
				if c.do(e, g, l, t.Now()) {
					changed = append(changed, int(l.PID))
				}
			}
			if done < len(c.lives) {
				return nil
			}
			t.Commit()
			return nil
		})
		if err != nil || done == len(c.lives) {
			return changed, err
		}
	}
}

// find notes the group and the processes that a request names, those named first.
func (s *Service) find(ctx context.Context, c *change, pids []int) error {
	named := make([]int32, 0, len(pids))
	for _, pid := range pids {
		named = append(named, int32(pid))
	}
	slices.Sort(named)
	if named = slices.Compact(named); len(named) > maxPIDs {
		return s.tooLarge("the request names %d processes; name at most %d at a time", len(named), maxPIDs)
	}
	return s.do(ctx, c.who, func(t pipeline.Turn) error {
		e := t.Engine()
		if err := t.Sync(!e.TellsExits()); err != nil {
			return err
		}
		g, err := changeable(e, c.who, c.name)
		if err != nil {
			return err
		}
		c.group, c.named = *g, len(named)
		all := named
		switch {
		case c.livingOf != nil:
			all = e.LivingOf(int32(c.livingOf.PID), c.livingOf.Started, t.Now())
		case c.tree:
			all = append(all, e.Descendants(named...)...)
		}
		if len(all) > maxTree {
			return s.tooLarge("the request is about %d processes; at most %d are changed at a time", len(all), maxTree)
		}
		for i, pid := range all {
			l, ok := e.Live(pid)
			if !ok && i < len(named) {
				return api.NotFound("no process %d is running; none was changed", pid)
			}
			if err := c.allowed(e, g, l); ok && err != nil {
				return err
			}
			if ok {
				c.lives = append(c.lives, l)
			}
		}
		return nil
	})
}

// check looks at the processes of a request, outside the pipeline, and makes sure
// that the caller may do it to each of them. Those that ended are left out.
func (s *Service) check(ctx context.Context, c *change) error {
	kept := c.lives[:0]
	for i, l := range c.lives {
		if err := ctx.Err(); err != nil {
			return err
		}
		var p proc.Process
		err := patiently(ctx, int(l.PID), func() (err error) {
			p, err = s.Proc.Process(l.PID)
			return err
		})
		if e := (*api.Error)(nil); errors.As(err, &e) || ctx.Err() != nil {
			return err
		}
		if err != nil || p.Dead() || !p.Start.Same(l.Start) {
			if i < c.named {
				return api.NotFound("no process %d is running; none was changed", l.PID)
			}
			continue
		}
		if err := c.who.MayAdd(int(l.PID), p.UID); err != nil {
			return err
		}
		if err := c.fits(&c.group, &p); err != nil {
			return err
		}
		kept = append(kept, l)
	}
	c.lives = kept
	return nil
}

func (s *Service) tooLarge(format string, args ...any) error {
	s.Refused.Add(tally.RequestSizes)
	return api.BadRequest(format, args...)
}
