// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"slices"
	"time"

	"elsa/internal/lineage"
	"elsa/internal/store"
	"elsa/pkg/acct"
	"elsa/pkg/api"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// keepLineage lets the core remember why processes are in their groups.
func (c *core) keepLineage() {
	c.lineage = lineage.New(func(f func(groups.Life)) {
		c.tracker.EachLive(func(l groups.Life) {
			if l.Set > groups.Unattributed {
				f(l)
			}
		})
	})
}

// origin remembers that a process was put in a group: because uid asked for it,
// or by the rule of a line.
func (c *core) origin(l groups.Life, group, uid uint32, rule int) {
	o := lineage.Origin{Group: group, Key: l.Key(), BootID: c.meta.BootID, Time: time.Now().UTC(), UID: uid, Rule: rule}
	if p, err := c.proc.Process(l.PID); err == nil {
		o.Command = p.Command()
	}
	c.lineage.Add(o)
}

// bury remembers a member that ended; r is its record, or nil.
func (c *core) bury(l *groups.Life, r *acct.Record, now int64) {
	// The fork connector names the task that forks, which may be a thread.
	if l.Set <= groups.Unattributed || l.Start == 0 || !c.tracker.NoExits && !c.lineage.Forked(l.PID) {
		return
	}
	a := lineage.Ancestor{Key: l.Key(), PPID: l.PPID, Exit: l.Exit}
	if a.Exit == 0 {
		a.Exit = now
	}
	if r != nil {
		a.Comm = r.Comm
	}
	c.lineage.Bury(a)
}

// writeLineage puts what changed; the ancestors at the end alone.
func (c *core) writeLineage(tx *store.Tx) {
	c.lineage.Flush(tx.PutOrigin, tx.DeleteOrigin)
	if c.meta.CleanStop {
		tx.PutAncestors(c.lineage.Ancestors())
	}
}

// loadLineage takes over what the store has of this boot.
func (c *core) loadLineage(sameBoot bool, boot string) error {
	origins, ancestors, err := c.store.Lineage()
	if err != nil {
		return err
	}
	for _, o := range origins {
		c.lineage.Restore(o)
	}
	c.lineage.DropBoot(boot)
	if sameBoot {
		for _, a := range ancestors {
			c.lineage.Bury(a)
		}
	}
	return nil
}

// maxChain bounds the ancestors that an explanation names.
const maxChain = 1000

// Explain says why a process is in its groups.
func (s *service) Explain(ctx context.Context, who api.Caller, pid int) (out api.Explanation, err error) {
	err = s.do(ctx, func() error {
		c := s.core
		if err := c.current(false); err != nil {
			return err
		}
		p, l, running, err := c.running(int32(pid))
		switch {
		case err != nil:
			return err
		case !running:
			return notRunning(pid)
		case !who.Admin && who.UID != p.UID:
			return api.Forbidden("process %d belongs to uid %d; only that user, root and members of unix group %s may ask why it is in its groups", pid, p.UID, api.AdminGroup)
		}
		boot := proc.BootTime()
		out = api.Explanation{
			PID: pid, Command: p.Command(), Started: wall(boot, l.Start), UID: p.UID,
			Unattributed: l.Set == groups.Unattributed, Groups: []api.Membership{},
		}
		for _, gid := range c.tracker.Sets.Groups(l.Set) {
			if i := c.placeID(gid); i >= 0 {
				m := c.trace(gid, l, boot)
				m.Group = c.groups[i].Name
				out.Groups = append(out.Groups, m)
			}
		}
		slices.SortFunc(out.Groups, func(a, b api.Membership) int {
			if a.Group < b.Group {
				return -1
			}
			return 1
		})
		return nil
	})
	return out, err
}

// trace follows the forks from a member up to the process that was put in the
// group.
func (c *core) trace(gid uint32, l groups.Life, boot time.Time) api.Membership {
	m := api.Membership{Inferred: l.Inferred}
	for range maxChain {
		step := api.Ancestor{PID: int(l.PID), Started: wall(boot, l.Start), Command: "(unknown)"}
		now, living := c.tracker.Live(l.PID)
		living = living && proc.SameStart(now.Start, l.Start)
		if p, err := c.proc.Process(l.PID); living && err == nil {
			step.Command = p.Command()
			step.Left = !c.tracker.Sets.Has(now.Set, gid)
		} else if a, ok := c.lineage.Parent(l.PID, l.Start); ok {
			if a.Comm[0] != 0 {
				step.Command = (&acct.Record{Comm: a.Comm}).Command()
			}
			step.Ended = wall(boot, a.Exit)
		} else if l.Exit != 0 {
			step.Ended = wall(boot, l.Exit)
		}
		m.Chain = append(m.Chain, step)
		if o, ok := c.lineage.Origin(gid, l.Key()); ok {
			w := fromOrigin(o)
			m.Origin = &w
			return m
		}
		parent, ok := c.parent(&l)
		if !ok {
			break
		}
		l = parent
	}
	// The line is broken. Whoever it was, it came from one of these.
	last := m.Chain[len(m.Chain)-1]
	m.Candidates = []api.Origin{}
	for _, o := range c.lineage.Origins(gid) {
		if !o.Time.After(last.Started) {
			m.Candidates = append(m.Candidates, fromOrigin(o))
		}
	}
	return m
}

// parent finds the process that forked another, as it was then.
func (c *core) parent(l *groups.Life) (groups.Life, bool) {
	lived := func(p *groups.Life) bool {
		return p.Start <= l.Start+int64(50*time.Millisecond) && (p.Exit == 0 || l.Start <= p.Exit+int64(50*time.Millisecond))
	}
	if p, ok := c.tracker.Peek(l.PPID, lived); ok && l.PPID != l.PID {
		return p, true
	}
	a, ok := c.lineage.Parent(l.PPID, l.Start)
	return groups.Life{PID: a.Key.PID, Start: a.Key.Start, PPID: a.PPID, Exit: a.Exit}, ok
}

func fromOrigin(o lineage.Origin) api.Origin {
	w := api.Origin{PID: int(o.Key.PID), Command: o.Command, Time: o.Time, Rule: o.Rule}
	if o.Rule == 0 {
		w.UID = &o.UID
	}
	return w
}

func wall(boot time.Time, at int64) time.Time {
	return boot.Add(time.Duration(at)).UTC().Truncate(time.Millisecond)
}
