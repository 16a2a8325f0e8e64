// SPDX-License-Identifier: Apache-2.0

package control

import (
	"cmp"
	"context"
	"slices"
	"time"

	"elsa/internal/pipeline"
	"elsa/internal/web"
	"elsa/pkg/api"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// Group shows a group with its live members; to the user for whom a rule made it those
// that are the user's.
func (s *Service) Group(ctx context.Context, who api.Caller, name string) (out api.GroupDetail, err error) {
	var lives []groups.Life
	names := map[groups.SetID][]string{}
	all := false
	err = s.do(ctx, who, func(t pipeline.Turn) error {
		if err := t.Sync(false); err != nil {
			return err
		}
		e := t.Engine()
		g := e.Group(name)
		if g == nil {
			return api.NoSuchGroup(name)
		}
		if err := who.MaySee(g); err != nil {
			return err
		}
		all = who.MayChange(g) == nil
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
	s.look(ctx, lives, false, func(l groups.Life, p *proc.Process, used *proc.Sample, started time.Time) {
		if !all && p.UID != who.UID {
			return
		}
		out.Members = append(out.Members, api.Member{
			PID: int(l.PID), PPID: int(p.PPID), Command: p.Command(),
			Started: started.UTC().Truncate(10 * time.Millisecond), CPUSeconds: used.CPU.Seconds(), Groups: names[l.Set],
		})
	})
	slices.SortFunc(out.Members, func(a, b api.Member) int { return cmp.Compare(a.PID, b.PID) })
	return out, ctx.Err()
}

// PageMembers are the live members of a group for the page.
func (s *Service) PageMembers(ctx context.Context, group uint32) (members []web.Member, err error) {
	var lives []groups.Life
	if err := s.Pipeline.Do(ctx, func(t pipeline.Turn) error {
		return t.Engine().EachMember(group, t.Now(), func(l groups.Life) { lives = append(lives, l) })
	}); err != nil {
		return nil, err
	}
	s.look(ctx, lives, true, func(l groups.Life, p *proc.Process, used *proc.Sample, started time.Time) {
		members = append(members, web.Member{
			PID: int(l.PID), UID: p.UID, Command: p.Command(), Started: started, CPU: used.CPU, RSS: used.MaxRSS,
		})
	})
	return members, ctx.Err()
}

// look adds what /proc knows of processes, outside the pipeline. One that ended
// meanwhile is left out.
func (s *Service) look(ctx context.Context, lives []groups.Life, detail bool, f func(groups.Life, *proc.Process, *proc.Sample, time.Time)) {
	booted := proc.Booted()
	for _, l := range lives {
		if ctx.Err() != nil {
			return // nobody waits for it any more
		}
		p, err := s.Proc.Process(l.PID)
		if err != nil || !p.Start.Same(l.Start) {
			continue
		}
		var used proc.Sample
		if s.Proc.Sample(l.PID, l.Start, &used, detail) != nil {
			continue
		}
		f(l, &p, &used, p.Start.Boot().Wall(booted).Time())
	}
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
