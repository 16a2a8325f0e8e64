// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"time"

	"elsa/internal/engine"
	"elsa/internal/lineage"
	"elsa/internal/pipeline"
	"elsa/internal/rules"
	"elsa/pkg/api"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// Explain says why a process is in its groups.
func (s *Service) Explain(ctx context.Context, who api.Caller, pid int) (out api.Explanation, err error) {
	var memberships []engine.Membership
	booted := proc.Booted()
	err = s.do(ctx, who, func(t pipeline.Turn) error {
		p, l, err := running(t, pid)
		if err != nil {
			return err
		}
		if !who.Admin && who.UID != p.UID {
			return api.Forbidden("process %d belongs to uid %d; only that user, root and members of unix group %s may ask why it is in its groups", pid, p.UID, api.AdminGroup)
		}
		out = api.Explanation{
			PID: pid, Command: p.Command(), Started: wall(booted, l.Start.Boot()), UID: p.UID,
			Unattributed: l.Set == groups.Unattributed, Groups: []api.Membership{},
		}
		memberships = t.Engine().Explain(l)
		return nil
	})
	if err != nil {
		return out, err
	}
	commands := map[groups.Key]string{}
	for i := range memberships {
		if err := ctx.Err(); err != nil {
			return out, err // nobody waits for it any more
		}
		out.Groups = append(out.Groups, s.membership(&memberships[i], booted, commands))
	}
	return out, nil
}

// membership adds what /proc knows of the living, outside the pipeline. commands
// are those looked up by now.
func (s *Service) membership(m *engine.Membership, booted clock.Wall, commands map[groups.Key]string) api.Membership {
	out := api.Membership{Group: m.Group, Inferred: m.Inferred, Omitted: m.Omitted}
	for _, a := range m.Chain {
		step := api.Ancestor{PID: int(a.Key.PID), Started: wall(booted, a.Key.Start.Boot()), Command: a.Command, Left: a.Left}
		if a.Ended != 0 {
			step.Ended = wall(booted, a.Ended)
		}
		if a.Live {
			command, known := commands[a.Key]
			if !known {
				command = "(unknown)"
				if p, err := s.Proc.Process(a.Key.PID); err == nil && p.Start.Same(a.Key.Start) {
					command = p.Command()
				}
				commands[a.Key] = command
			}
			step.Command = command
		}
		out.Chain = append(out.Chain, step)
	}
	if m.Origin != nil {
		w := fromOrigin(m.Origin)
		out.Origin = &w
		return out
	}
	out.Candidates = []api.Origin{}
	for i := range m.Candidates {
		out.Candidates = append(out.Candidates, fromOrigin(&m.Candidates[i]))
	}
	return out
}

func fromOrigin(o *lineage.Origin) api.Origin {
	w := api.Origin{PID: int(o.Key.PID), Command: o.Command, Time: o.Time, Rule: o.Rule}
	if o.Rule == 0 {
		w.UID = &o.UID
	}
	return w
}

func wall(booted clock.Wall, at clock.Boot) time.Time {
	return at.Wall(booted).Time().Truncate(time.Millisecond)
}

// TryRules says what the rules would do with a process.
func (s *Service) TryRules(ctx context.Context, who api.Caller, pid int) (out api.RulesTrial, err error) {
	err = s.do(ctx, who, func(t pipeline.Turn) error {
		if !who.Admin {
			return api.Forbidden("rules are for root and members of unix group %s to try", api.AdminGroup)
		}
		p, l, err := running(t, pid)
		if err != nil {
			return err
		}
		e := t.Engine()
		var set *rules.Set
		var facts rules.Facts
		set, facts = e.Facts(p, l)
		out = api.Try(set, pid, wall(proc.Booted(), l.Start.Boot()), facts, func(name string) bool { g := e.Group(name); return g != nil && (!g.Takes() || g.Owner != 0) })
		return nil
	})
	return out, err
}
