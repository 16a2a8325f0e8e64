// SPDX-License-Identifier: Apache-2.0

// Package control answers the control API: it checks who may do what and what was
// asked, turns it into questions to the engine, in the pipeline's goroutine, and
// the answers into what the API speaks. It has no state of its own.
package control

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"elsa/internal/engine"
	"elsa/internal/pipeline"
	"elsa/internal/store"
	"elsa/internal/tally"
	"elsa/pkg/api"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// Service answers the control API. All methods are safe for concurrent use.
type Service struct {
	// Pipeline owns the engine that is asked.
	Pipeline *pipeline.Pipeline
	// Store is read for reports and backups: it holds what is committed.
	Store *store.Store
	// Proc is where commands and CPU of live processes are read.
	Proc *proc.Bounded
	// Version is the service's, for its status.
	Version string
	// Source is the UUID of the database and Host the name of the machine.
	Source, Host string
	// Names are those that rules know, and those of users; nil knows none.
	Names interface {
		Unknown() (users, unixGroups []string)
		User(uid uint32) (name string, known bool)
	}
	// Refused counts what is refused; nil counts nothing.
	Refused *tally.Shared

	budget    budget
	pageReads atomic.Int32 // under way
}

var _ api.Service = (*Service)(nil)

// do runs f in the pipeline's goroutine, when it is the caller's turn. f's error is
// what the caller gets, or that the change f made is not on disk yet.
func (s *Service) do(ctx context.Context, who api.Caller, f func(pipeline.Turn) error) error {
	err := s.ask(ctx, who, f)
	if unsafe := (*pipeline.NotSafeError)(nil); errors.As(err, &unsafe) {
		return api.Unavailable("done, but %v", unsafe)
	}
	return err
}

// ask is do for those who change nothing that must be on disk: the error may be a
// [pipeline.NotSafeError].
func (s *Service) ask(ctx context.Context, who api.Caller, f func(pipeline.Turn) error) error {
	done, err := s.budget.take(ctx, who, s.Refused)
	if err != nil {
		return err
	}
	var took time.Duration
	defer func() { done(took) }()
	return stopping(s.Pipeline.Do(ctx, func(t pipeline.Turn) error {
		begin := time.Now()
		defer func() { took = time.Since(begin) }()
		return f(t)
	}))
}

// doLook is do for what looks at a process, patiently.
func (s *Service) doLook(ctx context.Context, who api.Caller, pid int, f func(pipeline.Turn) error) error {
	return patiently(ctx, pid, func() error { return s.do(ctx, who, f) })
}

// settle waits until every death before the call is on its bill.
func (s *Service) settle(ctx context.Context, who api.Caller, names []string) error {
	return pipeline.WaitSettled(ctx, func(ctx context.Context, f func(pipeline.Turn) error) error {
		return s.do(ctx, who, f)
	}, names)
}

func stopping(err error) error {
	if errors.Is(err, pipeline.ErrStopping) {
		return api.Unavailable("elsad is stopping")
	}
	return err
}

// CreateGroup makes a group that belongs to the caller.
func (s *Service) CreateGroup(ctx context.Context, who api.Caller, r api.CreateGroupRequest) (out api.Group, err error) {
	err = s.do(ctx, who, func(t pipeline.Turn) error {
		e := t.Engine()
		g, err := s.make(e, who, r, t.Now())
		switch {

		case errors.Is(err, groups.ErrExists):
			return api.Conflict("group %s exists already", r.Name)
		case err != nil:
			return refused(err)
		}
		if r.Temporary {
			e.MakeTemporary(g, t.Now())
		}
		out = api.FromGroup(g)
		t.Commit()
		return nil
	})
	return out, err
}

// make makes a group. One that a rule could put processes in is root's, and only
// admins can make it.
func (s *Service) make(e *engine.Engine, who api.Caller, r api.CreateGroupRequest, now engine.Now) (*groups.Group, error) {
	switch {
	case !who.Admin:
		return e.MakeGroupOf(who.UID, r.Name, r.Labels, now)
	case e.Reserves(r.Name):
		return e.MakeGroup(r.Name, 0, r.Labels, now)
	}
	return e.MakeGroup(r.Name, who.UID, r.Labels, now)
}

// Groups lists all groups.
func (s *Service) Groups(ctx context.Context, who api.Caller) (out []api.Group, err error) {
	var gs []groups.Group
	if err := s.do(ctx, who, func(t pipeline.Turn) error {
		// The last exits: a group may be closed by one.
		if err := t.Sync(false); err != nil {
			return err
		}
		gs = t.Engine().CopyGroups()
		return nil
	}); err != nil {
		return nil, err
	}
	out = make([]api.Group, len(gs))
	for i := range gs {
		out[i] = api.FromGroup(&gs[i])
	}
	return out, nil
}

// CloseGroup closes a group.
func (s *Service) CloseGroup(ctx context.Context, who api.Caller, name string) (out api.Group, err error) {
	err = s.do(ctx, who, func(t pipeline.Turn) error {
		g, err := changeable(t.Engine(), who, name)
		if err != nil {
			return err
		}
		if !g.Takes() {
			return api.Conflict("group %s is closed already", name)
		}
		t.Engine().CloseGroup(g, t.Now())
		out = api.FromGroup(g)
		t.Commit()
		return nil
	})
	return out, err
}

// DeleteGroup deletes a group and its bill; the totals do not fall.
func (s *Service) DeleteGroup(ctx context.Context, who api.Caller, name string) error {
	return s.do(ctx, who, func(t pipeline.Turn) error {
		if err := t.Step(); err != nil {
			return err
		}
		g, err := changeable(t.Engine(), who, name)
		if err != nil {
			return err
		}
		t.Engine().DeleteGroup(g)
		t.Commit()
		return nil
	})
}

// Usage reports the bills of groups.
func (s *Service) Usage(ctx context.Context, who api.Caller, q api.UsageQuery) (api.UsageReport, error) {
	if q.Wait {
		names := q.Groups
		if slices.ContainsFunc(names, func(name string) bool { return !api.IsPlain(name) }) {
			names = nil // for all
		}
		if err := s.settle(ctx, who, names); err != nil {
			return api.UsageReport{}, err
		}
	}
	snap, err := s.Pipeline.Snapshot(ctx)
	if err != nil {
		return api.UsageReport{}, stopping(err)
	}
	var wants func(*groups.Group) bool
	if q.Mine {
		wants = who.Has
	}
	out, err := api.FromSnapshot(snap, q.Groups, wants)
	out.CPUs = proc.CPUs()
	return out, err
}

// maxUnknown bounds the names that a status tells.
const maxUnknown = 20

// Status reports on the service itself.
func (s *Service) Status(ctx context.Context, who api.Caller) (st api.Status, err error) {
	err = s.do(ctx, who, func(t pipeline.Turn) error {
		snap, err := t.View()
		if err != nil {
			return err
		}
		st = api.StatusFromSnapshot(snap, s.Version)
		return nil
	})
	if s.Names != nil {
		users, unixGroups := s.Names.Unknown()
		unixGroups = slices.DeleteFunc(unixGroups, func(name string) bool { return name == api.AdminGroup }) // no rule's
		st.Rules.UnknownUsers, st.Rules.UnknownUnixGroups = users[:min(len(users), maxUnknown)], unixGroups[:min(len(unixGroups), maxUnknown)]
	}
	return st, err
}

// Backup copies the database as of now to a file without a name in the state
// directory, so that a reader who is slow holds up nothing: while bbolt is read,
// a file that has to grow cannot be committed to.
func (s *Service) Backup(ctx context.Context, who api.Caller) (*os.File, error) {
	if err := who.MayBackup(); err != nil {
		return nil, err
	}
	if err := s.do(ctx, who, func(t pipeline.Turn) error {
		if err := t.Step(); err != nil {
			return err
		}
		t.Commit()
		return nil
	}); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(s.Store.Dir(), "backup-*")
	if err != nil {
		return nil, api.Unavailable("no room for a copy: %v", err)
	}
	os.Remove(f.Name())
	if err := s.Store.Backup(f); err != nil {
		f.Close()
		return nil, api.Unavailable("the database cannot be copied: %v", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
