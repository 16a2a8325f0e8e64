// SPDX-License-Identifier: Apache-2.0

package control

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"elsa/internal/history"
	"elsa/internal/pipeline"
	"elsa/internal/web"
	"elsa/pkg/api"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/usage"
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
	out.Members = s.members(ctx, who, lives, all, names)
	return out, ctx.Err()
}

// maxUngrouped bounds the processes of one answer of [Service.Ungrouped].
const maxUngrouped = 10000

// Ungrouped lists the live processes that are in no group; to a user its own.
func (s *Service) Ungrouped(ctx context.Context, who api.Caller) (out api.Ungrouped, err error) {
	var lives []groups.Life
	err = s.do(ctx, who, func(t pipeline.Turn) error {
		if err := t.Sync(false); err != nil {
			return err
		}
		return t.Engine().EachUngrouped(t.Now(), func(l groups.Life) { lives = append(lives, l) })
	})
	if err != nil {
		return out, err
	}
	out.Omitted = max(len(lives)-maxUngrouped, 0)
	out.Members = s.members(ctx, who, lives[out.Omitted:], who.Admin, map[groups.SetID][]string{groups.Ungrouped: {}})
	return out, ctx.Err()
}

// members are processes as the caller is shown them: all, or those that are its own.
func (s *Service) members(ctx context.Context, who api.Caller, lives []groups.Life, all bool, names map[groups.SetID][]string) []api.Member {
	members := []api.Member{}
	wants := func(p *proc.Process) bool { return all || p.UID == who.UID }
	s.look(ctx, lives, wants, false, func(l groups.Life, p *proc.Process, used *proc.Sample, started time.Time) {
		members = append(members, api.Member{
			PID: int(l.PID), PPID: int(p.PPID), Command: p.Command(),
			Started: started.UTC().Truncate(10 * time.Millisecond), CPUSeconds: used.CPU.Seconds(), Groups: names[l.Set],
		})
	})
	slices.SortFunc(members, func(a, b api.Member) int { return cmp.Compare(a.PID, b.PID) })
	return members
}

// PageMembers are the live members of a group for the page.
func (s *Service) PageMembers(ctx context.Context, group uint32) (members []web.Member, err error) {
	var lives []groups.Life
	if err := s.Pipeline.Do(ctx, func(t pipeline.Turn) error {
		return t.Engine().EachMember(group, t.Now(), func(l groups.Life) { lives = append(lives, l) })
	}); err != nil {
		return nil, err
	}
	s.look(ctx, lives, nil, true, func(l groups.Life, p *proc.Process, used *proc.Sample, started time.Time) {
		members = append(members, web.Member{
			PID: int(l.PID), UID: p.UID, Command: p.Command(), Started: started, CPU: used.CPU, RSS: used.MaxRSS,
		})
	})
	return members, ctx.Err()
}

// PageCells calls f for every cell of the history from an hour on, for the page, which
// shows what it may to whoever can reach it.
func (s *Service) PageCells(ctx context.Context, first uint32, f func(*history.Key, *usage.Usage) error) error {
	if s.pageReads.Add(1) > maxPageReads {
		s.pageReads.Add(-1)
		return errors.New("the disk is slow, or does not answer")
	}
	return within(ctx, pageTimeout, func(ctx context.Context) error {
		defer s.pageReads.Add(-1)
		return s.Pipeline.History(ctx, first, math.MaxUint32, func(k *history.Key, u *usage.Usage) error {
			if ctx.Err() != nil {
				return ctx.Err() // nobody reads what f collects
			}
			return f(k, u)
		})
	})
}

// pageTimeout bounds a look into the history for the page, and maxPageReads how many
// there are, those for which nobody waits any more included.
const (
	pageTimeout  = 10 * time.Second
	maxPageReads = 8
)

// look adds what /proc knows of the processes that wants, which may be nil, holds for,
// outside the pipeline. One that ended meanwhile is left out. Of one that does not let
// itself be looked at now, command and owner are not known.
func (s *Service) look(ctx context.Context, lives []groups.Life, wants func(*proc.Process) bool, detail bool, f func(groups.Life, *proc.Process, *proc.Sample, time.Time)) {
	booted := proc.Booted()
	for _, l := range lives {
		if ctx.Err() != nil {
			return // nobody waits for it any more
		}
		p, err := s.Proc.Process(l.PID)
		if errors.Is(err, proc.ErrBusy) {
			p, err = proc.Process{PID: l.PID, PPID: l.PPID, Start: l.Start, UID: usage.UnknownUID, Comm: usage.Unknown}, nil
		}
		if err != nil || !p.Start.Same(l.Start) || wants != nil && !wants(&p) {
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
