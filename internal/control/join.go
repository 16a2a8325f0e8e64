// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"fmt"

	"elsa/internal/engine"
	"elsa/internal/pipeline"
	"elsa/pkg/api"
	"elsa/pkg/groups"
)

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
		err := s.do(ctx, who, func(t pipeline.Turn) (err error) {
			if out, err = s.join(t, who, r); err != nil {
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

func (s *Service) join(t pipeline.Turn, who api.Caller, r api.JoinRequest) (out api.JoinResult, err error) {
	e := t.Engine()
	if err := t.Sync(!e.TellsExits()); err != nil {
		return out, err
	}
	p, l, ok, err := e.Running(who.PID)
	switch {
	case err != nil:
		return out, busy(int(who.PID), err)
	case !ok:
		return out, api.NotFound("the process that asks cannot be seen from here, or has ended")
	}
	if err := who.MayAdd(int(who.PID), p.UID); err != nil {
		return out, err
	}
	g := e.Group(r.Group)
	switch {
	case r.Group == "":
		if g, err = s.makeFresh(e, who, r.Labels, t.Now()); err != nil {
			return out, err
		}
		e.CloseWith(g, l)
	case g == nil:
		if g, err = s.make(e, who, api.CreateGroupRequest{Name: r.Group, Labels: r.Labels}, t.Now()); err != nil {
			return out, refused(err)
		}
	default:
		if err := joinable(who, g); err != nil {
			return out, err
		}
		if err := mayFill(who, g, &p, nil); err != nil {
			return out, err
		}
		if e.Full(l, g) {
			return out, api.Conflict("process %d is in %d groups, the most that a process may be in", l.PID, groups.MaxGroups)
		}
		e.Add(l, g, false, false, who.UID, t.Now())
		return api.JoinResult{Group: g.Name}, nil
	}
	e.Add(l, g, false, false, who.UID, t.Now())
	return api.JoinResult{Group: g.Name, Created: true}, nil
}

// makeFresh makes a temporary group that nobody else uses, named after the time and
// the caller.
func (s *Service) makeFresh(e *engine.Engine, who api.Caller, labels map[string]string, now engine.Now) (*groups.Group, error) {
	base := fmt.Sprintf("run-%s-%d", now.Wall.UTC().Format("20060102T150405"), who.PID)
	name := base
	for try := 2; ; try++ {
		g, err := s.make(e, who, api.CreateGroupRequest{Name: name, Labels: labels}, now)
		switch {
		case err == nil:
			e.MakeTemporary(g, now)
			return g, nil
		case !errors.Is(err, groups.ErrExists) || try > 99:
			return nil, refused(err)
		}
		name = fmt.Sprintf("%s-%d", base, try)
	}
}
