// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"slices"
	"time"

	"elsa/pkg/api"
	"elsa/pkg/groups"
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
		g.Temporary = r.Temporary
		out = api.FromGroup(g)
		return s.core.durable()
	})
	return out, err
}

// changeable finds a group that the caller may change. The pointer is valid until
// groups change, as rules may do whenever events are taken in: a request that does
// that looks for its group afterwards.
func (c *core) changeable(who api.Caller, name string) (*groups.Group, error) {
	g := c.group(name)
	if g == nil {
		return nil, api.NoSuchGroup(name)
	}
	return g, who.MayChange(g)
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
		if err := s.core.current(false); err != nil {
			return err
		}
		g, err := s.core.changeable(who, name)
		if err != nil {
			return err
		}
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

func (s *service) CloseGroup(ctx context.Context, who api.Caller, name string) (out api.Group, err error) {
	err = s.do(ctx, func() error {
		g, err := s.core.changeable(who, name)
		if err != nil {
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
		if err := c.step(); err != nil {
			return err
		}
		if _, err := c.changeable(who, name); err != nil {
			return err
		}
		at, _ := c.place(name)
		c.dropGroup(at)
		return c.durable()
	})
}

// dropGroup deletes the group at a place. What it used stays in the totals.
func (c *core) dropGroup(at int) {
	id := c.groups[at].ID
	c.tracker.TakeStarts(c.join.Start)
	c.join.Merge(c.tracker.DropGroup(id), c.tracker.Sets.Only(groups.Former))
	c.lineage.DropGroup(id)
	c.groups = slices.Delete(c.groups, at, at+1)
	c.regroup = append(c.regroup, id)
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

// Backup copies the database as of now to a file without a name in the state
// directory, so that a reader who is slow holds up nothing: while bbolt is read,
// a file that has to grow cannot be committed to.
func (s *service) Backup(ctx context.Context, who api.Caller) (*os.File, error) {
	if err := who.MayBackup(); err != nil {
		return nil, err
	}
	if err := s.do(ctx, func() error {
		if err := s.core.step(); err != nil {
			return err
		}
		return s.core.durable()
	}); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(s.core.store.Dir(), "backup-*")
	if err != nil {
		return nil, api.Unavailable("no room for a copy: %v", err)
	}
	os.Remove(f.Name())
	if err := s.core.store.Backup(f); err != nil {
		f.Close()
		return nil, api.Unavailable("the database cannot be copied: %v", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (s *service) Status(ctx context.Context, _ api.Caller) (st api.Status, err error) {
	err = s.do(ctx, func() error {
		if err := s.core.know(); err != nil {
			return err
		}
		st = api.StatusFromSnapshot(s.core.view(), s.version)
		return nil
	})
	return st, err
}
