// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"math"
	"slices"
	"time"

	"elsa/pkg/api"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// service answers the control API from the core.
type service struct {
	core    *core
	live    *live
	version string
}

var _ api.Service = (*service)(nil)

// do runs f in the core's goroutine. f's error is what the caller gets.
func (s *service) do(ctx context.Context, f func() error) error {
	var err error
	if e := s.core.do(ctx, func() { err = f() }); e != nil {
		return unavailable(e)
	}
	return err
}

func unavailable(err error) error {
	if errors.Is(err, errStopping) {
		return api.Unavailable("elsad is stopping")
	}
	return err
}

// durable commits a change; when that fails the change stands in memory and is
// committed as soon as it can be.
func (c *core) durable() error {
	if err := c.commit(); err != nil {
		return api.Unavailable("done, but not safe on disk yet: %v", err)
	}
	return nil
}

func (s *service) CreateGroup(ctx context.Context, who api.Caller, r api.CreateGroupRequest) (out api.Group, err error) {
	err = s.do(ctx, func() error {
		g, err := s.core.makeGroup(r.Name, who.UID, r.Labels)
		if err != nil {
			return err
		}
		out = api.FromGroup(g)
		return s.core.durable()
	})
	return out, err
}

// makeGroup makes a group. The pointer is valid until groups change.
func (c *core) makeGroup(name string, owner uint32, labels map[string]string) (*groups.Group, error) {
	at, exists := c.place(name)
	if exists {
		return nil, api.Conflict("group %s exists already", name)
	}
	if c.meta.NextGroup == math.MaxUint32 {
		return nil, api.Conflict("no group ids are left")
	}
	g := groups.Group{ID: c.meta.NextGroup, Name: name, Owner: owner, Labels: labels, Created: time.Now().UTC()}
	if g.Labels == nil {
		g.Labels = map[string]string{}
	}
	c.meta.NextGroup++
	c.groups = slices.Insert(c.groups, at, g)
	c.regroup = append(c.regroup, g.ID)
	return &c.groups[at], nil
}

func (s *service) Groups(ctx context.Context, _ api.Caller) (out []api.Group, err error) {
	err = s.do(ctx, func() error {
		out = make([]api.Group, len(s.core.groups))
		for i := range s.core.groups {
			out[i] = api.FromGroup(&s.core.groups[i])
		}
		return nil
	})
	return out, err
}

func (s *service) Group(ctx context.Context, who api.Caller, name string) (out api.GroupDetail, err error) {
	var lives []groups.Life
	names := map[groups.SetID][]string{}
	err = s.do(ctx, func() error {
		g := s.core.group(name)
		if g == nil {
			return api.NoSuchGroup(name)
		}
		if err := who.MayChange(g); err != nil {
			return err
		}
		if err := s.core.drain(); err != nil {
			return err
		}
		s.core.classify(false)
		out.Group = api.FromGroup(g)
		s.core.tracker.EachLive(func(l groups.Life) {
			if s.core.tracker.Sets.Has(l.Set, g.ID) {
				lives = append(lives, l)
				names[l.Set] = nil
			}
		})
		for set := range names {
			names[set] = s.core.groupNames(set)
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	out.Members = s.describe(lives, names)
	return out, nil
}

// describe adds what /proc knows of the members. One that ended meanwhile is
// left out.
func (s *service) describe(lives []groups.Life, names map[groups.SetID][]string) []api.Member {
	members := make([]api.Member, 0, len(lives))
	sampler := s.core.proc.NewSampler()
	boot := proc.BootTime()
	for _, l := range lives {
		p, err := s.core.proc.Process(l.PID)
		if err != nil || !sameStart(p.Start, l.Start) {
			continue
		}
		var used proc.Sample
		if err := sampler.Sample(l.PID, l.Start, &used, false); err != nil {
			continue
		}
		members = append(members, api.Member{
			PID: int(l.PID), PPID: int(p.PPID), Command: p.Command(),
			Started: boot.Add(time.Duration(p.Start)).UTC().Truncate(10 * time.Millisecond), CPUSeconds: used.CPU.Seconds(), Groups: names[l.Set],
		})
	}
	slices.SortFunc(members, func(a, b api.Member) int { return cmp.Compare(a.PID, b.PID) })
	return members
}

func (c *core) groupNames(set groups.SetID) []string {
	var names []string
	for _, id := range c.tracker.Sets.Groups(set) {
		if i := c.placeID(id); i >= 0 {
			names = append(names, c.groups[i].Name)
		}
	}
	slices.Sort(names)
	return names
}

func (s *service) AddMembers(ctx context.Context, who api.Caller, name string, r api.AddRequest) (out api.AddResult, err error) {
	out.Added = []int{}
	err = s.do(ctx, func() error {
		c := s.core
		g := c.group(name)
		if g == nil {
			return api.NoSuchGroup(name)
		}
		if err := who.MayChange(g); err != nil {
			return err
		}
		if !g.Open() {
			return api.Conflict("group %s is closed: it takes no new members", name)
		}
		lives, err := c.choose(who, r.PIDs, r.Tree)
		if err != nil {
			return err
		}
		for _, l := range lives {
			c.sampleNow(l.Key(), l.Set)
			change, ok := c.tracker.Add(l.PID, g.ID, r.Move)
			if !ok || change.From == change.To {
				continue
			}
			c.move(change, r.WholeLife)
			c.origin(l, g.ID, who.UID, 0)
			out.Added = append(out.Added, int(l.PID))
		}
		return c.durable()
	})
	return out, err
}

func (s *service) RemoveMembers(ctx context.Context, who api.Caller, name string, r api.RemoveRequest) (out api.RemoveResult, err error) {
	out.Removed = []int{}
	err = s.do(ctx, func() error {
		c := s.core
		g := c.group(name)
		if g == nil {
			return api.NoSuchGroup(name)
		}
		if err := who.MayChange(g); err != nil {
			return err
		}
		lives, err := c.choose(who, r.PIDs, r.Tree)
		if err != nil {
			return err
		}
		for i, l := range lives {
			if i < len(r.PIDs) && !c.tracker.Sets.Has(l.Set, g.ID) {
				return api.NotFound("process %d is not in group %s", l.PID, name)
			}
		}
		for _, l := range lives {
			c.sampleNow(l.Key(), l.Set)
			change, ok := c.tracker.Remove(l.PID, g.ID)
			if !ok || change.From == change.To {
				continue
			}
			c.move(change, false)
			out.Removed = append(out.Removed, int(l.PID))
		}
		return c.durable()
	})
	return out, err
}

// move splits the bill of a process that changed sets. What was never in a group
// may be charged as a whole; what a group was billed stays on its bill.
func (c *core) move(change groups.Change, whole bool) {
	c.join.Move(change, whole && change.From <= groups.Unattributed)
	if c.tracker.NoExits {
		c.addThreads(change.Life.PID)
	}
	c.tracker.Note(change.Life.Key())
}

// choose finds the live processes that a request names, those named first, and
// checks that the caller may move each of them.
func (c *core) choose(who api.Caller, pids []int, tree bool) ([]groups.Life, error) {
	// What was forked before this moment is not affected: take it in first.
	if err := c.drain(); err != nil {
		return nil, err
	}
	c.classify(false)
	if tree || c.tracker.NoExits {
		if err := c.scan(c.trusted); err != nil {
			return nil, err
		}
	}
	var lives []groups.Life
	seen := map[int32]bool{}
	take := func(pid int32, named bool) error {
		if seen[pid] {
			return nil
		}
		p, err := c.proc.Process(pid)
		l, known := c.tracker.Live(pid)
		switch {
		case errors.Is(err, fs.ErrNotExist), err == nil && p.Dead(), err == nil && !known, err == nil && !sameStart(p.Start, l.Start):
			if !named {
				return nil
			}
			return api.NotFound("no process %d is running; none was changed", pid)
		case err != nil:
			return err
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
			for _, d := range c.tracker.Descendants(int32(pid)) {
				if err := take(d, false); err != nil {
					return nil, err
				}
			}
		}
	}
	return lives, nil
}

func (s *service) CloseGroup(ctx context.Context, who api.Caller, name string) (out api.Group, err error) {
	err = s.do(ctx, func() error {
		g := s.core.group(name)
		if g == nil {
			return api.NoSuchGroup(name)
		}
		if err := who.MayChange(g); err != nil {
			return err
		}
		if !g.Open() {
			return api.Conflict("group %s is closed already", name)
		}
		g.Closed = time.Now().UTC()
		s.core.regroup = append(s.core.regroup, g.ID)
		out = api.FromGroup(g)
		return s.core.durable()
	})
	return out, err
}

func (s *service) DeleteGroup(ctx context.Context, who api.Caller, name string) error {
	return s.do(ctx, func() error {
		c := s.core
		at, ok := c.place(name)
		if !ok {
			return api.NoSuchGroup(name)
		}
		g := c.groups[at]
		if err := who.MayChange(&g); err != nil {
			return err
		}
		if err := c.step(); err != nil {
			return err
		}
		c.tracker.TakeStarts(c.join.Start)
		c.join.Merge(c.tracker.DropGroup(g.ID))
		c.lineage.DropGroup(g.ID)
		c.groups = slices.Delete(c.groups, at, at+1)
		c.regroup = append(c.regroup, g.ID)
		return c.durable()
	})
}

func (s *service) Usage(ctx context.Context, _ api.Caller, names []string, wait bool) (api.UsageReport, error) {
	if wait {
		if err := s.core.settle(ctx, names); err != nil {
			return api.UsageReport{}, unavailable(err)
		}
	}
	snap, err := s.core.snapshot(ctx, s.live)
	if err != nil {
		return api.UsageReport{}, unavailable(err)
	}
	return api.FromSnapshot(snap, names)
}

func (s *service) Status(ctx context.Context, _ api.Caller) (st api.Status, err error) {
	err = s.do(ctx, func() error {
		st = api.StatusFromSnapshot(s.core.view(), s.version)
		return nil
	})
	return st, err
}
