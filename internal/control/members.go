// SPDX-License-Identifier: Apache-2.0

package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"elsa/internal/engine"
	"elsa/internal/pipeline"
	"elsa/internal/web"
	"elsa/pkg/api"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// Group shows a group with its live members.
func (s *Service) Group(ctx context.Context, who api.Caller, name string) (out api.GroupDetail, err error) {
	var lives []groups.Life
	names := map[groups.SetID][]string{}
	err = s.do(ctx, func(t pipeline.Turn) error {
		if err := t.Sync(false); err != nil {
			return err
		}
		e := t.Engine()
		g, err := changeable(e, who, name)
		if err != nil {
			return err
		}
		out.Group = api.FromGroup(g)
		return e.EachMember(g.ID, t.Now(), func(l groups.Life) {
			lives = append(lives, l)
			if _, ok := names[l.Set]; !ok {
				names[l.Set] = e.GroupNames(l.Set)
			}
		})
	})
	if err != nil {
		return out, err
	}
	out.Members = []api.Member{}
	s.look(lives, false, func(l groups.Life, p *proc.Process, used *proc.Sample, started time.Time) {
		out.Members = append(out.Members, api.Member{
			PID: int(l.PID), PPID: int(p.PPID), Command: p.Command(),
			Started: started.UTC().Truncate(10 * time.Millisecond), CPUSeconds: used.CPU.Seconds(), Groups: names[l.Set],
		})
	})
	slices.SortFunc(out.Members, func(a, b api.Member) int { return cmp.Compare(a.PID, b.PID) })
	return out, nil
}

// PageMembers are the live members of a group for the page.
func (s *Service) PageMembers(ctx context.Context, group uint32) (members []web.Member, err error) {
	var lives []groups.Life
	if err := s.Pipeline.Do(ctx, func(t pipeline.Turn) error {
		return t.Engine().EachMember(group, t.Now(), func(l groups.Life) { lives = append(lives, l) })
	}); err != nil {
		return nil, err
	}
	s.look(lives, true, func(l groups.Life, p *proc.Process, used *proc.Sample, started time.Time) {
		members = append(members, web.Member{
			PID: int(l.PID), UID: p.UID, Command: p.Command(), Started: started, CPU: used.CPU, RSS: used.MaxRSS,
		})
	})
	return members, nil
}

// look adds what /proc knows of processes, outside the pipeline. One that ended
// meanwhile is left out.
func (s *Service) look(lives []groups.Life, detail bool, f func(groups.Life, *proc.Process, *proc.Sample, time.Time)) {
	sampler, booted := s.Proc.NewSampler(), proc.Booted()
	for _, l := range lives {
		p, err := s.Proc.Process(l.PID)
		if err != nil || !p.Start.Same(l.Start) {
			continue
		}
		var used proc.Sample
		if sampler.Sample(l.PID, l.Start, &used, detail) != nil {
			continue
		}
		f(l, &p, &used, p.Start.Boot().Wall(booted).Time())
	}
}

// AddMembers puts running processes in a group.
func (s *Service) AddMembers(ctx context.Context, who api.Caller, name string, r api.AddRequest) (out api.AddResult, err error) {
	out.Added = []int{}
	err = s.change(ctx, who, name, r.PIDs, r.Tree, func(e *engine.Engine, g *groups.Group, lives []groups.Life, now engine.Now) error {
		if err := joinable(who, g); err != nil {
			return err
		}
		for _, l := range lives {
			if !r.Move && e.Full(l, g) {
				return api.Conflict("process %d is in %d groups, the most that a process may be in; none was added: take it out of one, or move it (--move)", l.PID, groups.MaxGroups)
			}
		}
		for _, l := range lives {
			if e.Add(l, g, r.Move, r.WholeLife, who.UID, now) {
				out.Added = append(out.Added, int(l.PID))
			}
		}
		return nil
	})
	return out, err
}

// Join puts the caller's own process in a group, which it makes if it is missing.
// The answer does not wait for the disk: the command that the caller is about to
// run need not either.
func (s *Service) Join(ctx context.Context, who api.Caller, r api.JoinRequest) (api.JoinResult, error) {
	type answer struct {
		api.JoinResult
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		var out api.JoinResult
		err := s.do(ctx, func(t pipeline.Turn) (err error) {
			if out, err = join(t, who, r); err != nil {
				return err
			}
			answers <- answer{out, nil}
			t.Commit() // says itself when it fails, and is tried again
			return nil
		})
		if err != nil {
			answers <- answer{err: err}
		}
	}()
	a := <-answers
	return a.JoinResult, a.err
}

func join(t pipeline.Turn, who api.Caller, r api.JoinRequest) (out api.JoinResult, err error) {
	e := t.Engine()
	if err := t.Sync(!e.TellsExits()); err != nil {
		return out, err
	}
	p, l, ok, err := e.Running(who.PID)
	switch {
	case err != nil:
		return out, err
	case !ok:
		return out, api.NotFound("the process that asks cannot be seen from here, or has ended")
	}
	if err := who.MayAdd(int(who.PID), p.UID); err != nil {
		return out, err
	}
	g := e.Group(r.Group)
	switch {
	case r.Group == "":
		if g, err = makeFresh(e, who, r.Labels, t.Now()); err != nil {
			return out, err
		}
		e.CloseWith(g, l)
	case g == nil:
		if g, err = e.MakeGroup(r.Group, who.UID, r.Labels, t.Now()); err != nil {
			return out, api.Conflict("%v", err)
		}
	default:
		if err := joinable(who, g); err != nil {
			return out, err
		}
		e.Add(l, g, false, false, who.UID, t.Now())
		return api.JoinResult{Group: g.Name}, nil
	}
	e.Add(l, g, false, false, who.UID, t.Now())
	return api.JoinResult{Group: g.Name, Created: true}, nil
}

// joinable says whether the caller may put processes in a group.
func joinable(who api.Caller, g *groups.Group) error {
	if err := who.MayChange(g); err != nil {
		return err
	}
	if !g.Open() {
		return api.Conflict("group %s is closed: it takes no new members", g.Name)
	}
	return nil
}

// makeFresh makes a temporary group that nobody else uses, named after the time and
// the caller.
func makeFresh(e *engine.Engine, who api.Caller, labels map[string]string, now engine.Now) (*groups.Group, error) {
	base := fmt.Sprintf("run-%s-%d", now.Wall.UTC().Format("20060102T150405"), who.PID)
	name := base
	for try := 2; ; try++ {
		g, err := e.MakeGroup(name, who.UID, labels, now)
		switch {
		case err == nil:
			e.MakeTemporary(g)
			return g, nil
		case !errors.Is(err, groups.ErrExists) || try > 99:
			return nil, api.Conflict("%v", err)
		}
		name = fmt.Sprintf("%s-%d", base, try)
	}
}

// RemoveMembers takes running processes out of a group.
func (s *Service) RemoveMembers(ctx context.Context, who api.Caller, name string, r api.RemoveRequest) (out api.RemoveResult, err error) {
	out.Removed = []int{}
	err = s.change(ctx, who, name, r.PIDs, r.Tree, func(e *engine.Engine, g *groups.Group, lives []groups.Life, now engine.Now) error {
		for i, l := range lives {
			if i < len(r.PIDs) && !e.IsIn(l, g) {
				return api.NotFound("process %d is not in group %s", l.PID, name)
			}
		}
		for _, l := range lives {
			if e.Remove(l, g, now) {
				out.Removed = append(out.Removed, int(l.PID))
			}
		}
		return nil
	})
	return out, err
}

// change finds a group and the processes that a request names, and commits what f
// did with them.
func (s *Service) change(ctx context.Context, who api.Caller, name string, pids []int, tree bool, f func(*engine.Engine, *groups.Group, []groups.Life, engine.Now) error) error {
	return s.do(ctx, func(t pipeline.Turn) error {
		e := t.Engine()
		if err := t.Sync(tree || !e.TellsExits()); err != nil {
			return err
		}
		g, err := changeable(e, who, name)
		if err != nil {
			return err
		}
		lives, err := choose(e, who, pids, tree)
		if err != nil {
			return err
		}
		if err := f(e, g, lives, t.Now()); err != nil {
			return err
		}
		return commit(t)
	})
}

// choose finds the live processes that a request names, those named first, and
// checks that the caller may move each of them. The engine must be in sync.
func choose(e *engine.Engine, who api.Caller, pids []int, tree bool) ([]groups.Life, error) {
	var lives []groups.Life
	seen := map[int32]bool{}
	take := func(pid int32, named bool) error {
		if seen[pid] {
			return nil
		}
		p, l, running, err := e.Running(pid)
		switch {
		case err != nil:
			return err
		case !running && named:
			return api.NotFound("no process %d is running; none was changed", pid)
		case !running:
			return nil
		}
		if err := who.MayAdd(int(pid), p.UID); err != nil {
			return err
		}
		seen[pid] = true
		lives = append(lives, l)
		return nil
	}
	for _, pid := range pids {
		if err := take(int32(pid), true); err != nil {
			return nil, err
		}
	}
	if tree {
		for _, pid := range pids {
			for _, d := range e.Descendants(int32(pid)) {
				if err := take(d, false); err != nil {
					return nil, err
				}
			}
		}
	}
	return lives, nil
}

// running finds the process that a request is about.
func running(t pipeline.Turn, pid int) (p proc.Process, l groups.Life, err error) {
	if err := t.Sync(false); err != nil {
		return p, l, err
	}
	p, l, ok, err := t.Engine().Running(int32(pid))
	if err == nil && !ok {
		err = api.NotFound("no process %d is running", pid)
	}
	return p, l, err
}
