// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"elsa/pkg/api"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// describe adds what /proc knows of the members. One that ended meanwhile is
// left out.
func (s *service) describe(lives []groups.Life, names map[groups.SetID][]string) []api.Member {
	members := make([]api.Member, 0, len(lives))
	sampler := s.core.proc.NewSampler()
	boot := proc.BootTime()
	for _, l := range lives {
		p, err := s.core.proc.Process(l.PID)
		if err != nil || !proc.SameStart(p.Start, l.Start) {
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

func (s *service) AddMembers(ctx context.Context, who api.Caller, name string, r api.AddRequest) (out api.AddResult, err error) {
	out.Added = []int{}
	err = s.do(ctx, func() error {
		c := s.core
		if err := c.current(r.Tree || c.tracker.NoExits); err != nil {
			return err
		}
		g, err := c.changeable(who, name)
		if err != nil {
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
		if err := c.current(r.Tree || c.tracker.NoExits); err != nil {
			return err
		}
		g, err := c.changeable(who, name)
		if err != nil {
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

// current makes the tracker know every process there is at the call: the request
// may be about one whose fork is not read yet, or was lost. What was forked before
// this moment is not affected by it. With look it is read from /proc in any case.
// Rules may make groups meanwhile.
func (c *core) current(look bool) error {
	if err := c.drain(); err != nil {
		return err
	}
	if err := c.know(); err != nil {
		return err
	}
	c.classify(false)
	if look {
		return c.scan(c.trusted)
	}
	return nil
}

// choose finds the live processes that a request names, those named first, and
// checks that the caller may move each of them. The tracker must be current.
func (c *core) choose(who api.Caller, pids []int, tree bool) ([]groups.Life, error) {
	var lives []groups.Life
	seen := map[int32]bool{}
	take := func(pid int32, named bool) error {
		if seen[pid] {
			return nil
		}
		p, l, running, err := c.running(pid)
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
			for _, d := range c.tracker.Descendants(int32(pid)) {
				if err := take(d, false); err != nil {
					return nil, err
				}
			}
		}
	}
	return lives, nil
}

// running finds a live process.
func (c *core) running(pid int32) (p proc.Process, l groups.Life, ok bool, err error) {
	p, err = c.proc.Process(pid)
	if errors.Is(err, fs.ErrNotExist) {
		return p, l, false, nil
	}
	l, ok = c.tracker.Live(pid)
	return p, l, ok && err == nil && !p.Dead() && proc.SameStart(p.Start, l.Start), err
}

func notRunning(pid int) error { return api.NotFound("no process %d is running", pid) }
