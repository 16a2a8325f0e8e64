// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"

	"elsa/internal/engine"
	"elsa/internal/pipeline"
	"elsa/pkg/api"
	"elsa/pkg/groups"
)

// keep lets f change a group that the caller may change, after a step, and commits.
func (s *Service) keep(ctx context.Context, who api.Caller, name string, f func(*engine.Engine, *groups.Group, engine.Now) error) (out api.Group, err error) {
	err = s.do(ctx, who, func(t pipeline.Turn) error {
		if err := t.Step(); err != nil {
			return err
		}
		g, err := changeable(t.Engine(), who, name)
		if err != nil {
			return err
		}
		if err := f(t.Engine(), g, t.Now()); err != nil {
			return err
		}
		out = api.FromGroup(g)
		t.Commit()
		return nil
	})
	return out, err
}

// ReopenGroup opens a group that is closed.
func (s *Service) ReopenGroup(ctx context.Context, who api.Caller, name string) (api.Group, error) {
	return s.keep(ctx, who, name, func(e *engine.Engine, g *groups.Group, now engine.Now) error {
		if g.Open() {
			return api.Conflict("group %s is open already", name)
		}
		e.ReopenGroup(g, now)
		return nil
	})
}

// RenameGroup gives a group another name.
func (s *Service) RenameGroup(ctx context.Context, who api.Caller, name string, r api.RenameRequest) (api.Group, error) {
	return s.keep(ctx, who, name, func(e *engine.Engine, g *groups.Group, _ engine.Now) error {
		return kept(e.RenameGroup(g, r.Name, who.Admin))
	})
}

// LabelGroup changes labels of a group.
func (s *Service) LabelGroup(ctx context.Context, who api.Caller, name string, r api.LabelRequest) (api.Group, error) {
	return s.keep(ctx, who, name, func(e *engine.Engine, g *groups.Group, _ engine.Now) error {
		labels, err := api.Relabel(g.Labels, r)
		if err != nil {
			return err
		}
		return kept(e.RelabelGroup(g, labels, who.Admin))
	})
}

// MergeGroup merges a group into another. The caller may change both. An admin merges
// nothing into a user's group that is not that user's, who would see its members.
func (s *Service) MergeGroup(ctx context.Context, who api.Caller, name string, r api.MergeRequest) (api.Group, error) {
	return s.keep(ctx, who, name, func(e *engine.Engine, into *groups.Group, _ engine.Now) error {
		from, err := changeable(e, who, r.From)
		switch {
		case err != nil:
			return err
		case from == into:
			return api.Conflict("group %s cannot be merged into itself", name)
		case !into.Open():
			return api.Conflict("group %s is closed: it takes no new members; reopen it first", name)
		case into.Owner != 0 && into.Owner != from.Owner && into.Owner != who.UID:
			return api.Conflict("group %s belongs to uid %d, who would see the members of group %s; merge the other way round", name, into.Owner, r.From)
		}
		return kept(e.MergeGroup(from, into))
	})
}

// kept is what a caller is told of a change that was not made.
func kept(err error) error {
	if err == nil || errors.As(err, new(*api.Error)) {
		return err
	}
	return refused(err)
}
