// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"elsa/internal/config"
	"elsa/internal/rules"
	"elsa/pkg/acct"
	"elsa/pkg/api"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// reload follows SIGHUP: it reads the configuration file again and puts its
// rules in place of the old ones. Counts go on. A bad file changes nothing.
// Options take a restart, and it says which have changed.
func reload(ctx context.Context, c *core, path string) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, unix.SIGHUP)
	defer signal.Stop(hup)
	var running *pflag.FlagSet // what the file said at the start
	if path != "" {
		running, _, _ = readAgain(path)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
		}
		if path == "" {
			c.log.Info("nothing to read again: there is no --config")
			continue
		}
		flags, set, err := readAgain(path)
		if err != nil {
			c.log.Error("configuration is not taken over; the old rules stay", "err", err)
			continue
		}
		if names := changedFlags(running, flags); len(names) > 0 {
			c.log.Warn("options changed in the configuration; they take a restart", "options", strings.Join(names, " "))
		}
		if c.do(ctx, func() { c.rules = set; err = c.applyToAll() }) == nil && err == nil {
			c.log.Info("rules read again", "rules", len(set.Rules))
		}
	}
}

// readAgain reads the configuration file alone, without the command line.
func readAgain(path string) (*pflag.FlagSet, *rules.Set, error) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	new(config.Config).Flags(flags)
	set, err := config.ReadFile(path, flags)
	return flags, set, err
}

// changedFlags are the flags whose values differ.
func changedFlags(a, b *pflag.FlagSet) (names []string) {
	b.VisitAll(func(f *pflag.Flag) {
		if a.Lookup(f.Name).Value.String() != f.Value.String() {
			names = append(names, f.Name)
		}
	})
	return names
}

// applyRules puts a process that executed a program, or changed its user, in
// the groups that the rules name. It does not take it out of any.
func (c *core) applyRules(pid int32) {
	if len(c.rules.Rules) == 0 {
		return
	}
	if c.resync {
		c.ruleable = append(c.ruleable, pid)
		return
	}
	life, ok := c.tracker.Live(pid)
	if !ok {
		return
	}
	p, err := c.proc.Process(pid)
	if err != nil || !proc.SameStart(p.Start, life.Start) {
		c.counters.ruleMisses++ // it ended before it could be looked at
		return
	}
	f := &facts{Process: rules.Look(c.proc, p, c.names), core: c, set: life.Set}
	for _, m := range c.rules.Match(f) {
		c.applyRule(life, m)
	}
}

func (c *core) applyRule(life groups.Life, m rules.Match) {
	g, err := c.ruleGroup(m)
	if err != nil || !g.Open() || c.tracker.Sets.Has(life.Set, g.ID) {
		return
	}
	c.sampleNow(life.Key(), life.Set)
	if change, ok := c.tracker.Add(life.PID, g.ID, false); ok && change.From != change.To {
		c.move(change, false)
		c.origin(life, g.ID, 0, m.Rule.Line)
		c.counters.ruled++
	}
}

// ruleGroup is the group a rule names, made if it is missing.
func (c *core) ruleGroup(m rules.Match) (*groups.Group, error) {
	if g := c.group(m.Group); g != nil {
		return g, nil
	}
	g, err := c.makeGroup(m.Group, 0, map[string]string{"rule": "line " + strconv.Itoa(m.Rule.Line)})
	c.tell(&c.ruleTold, "make groups by rules", err)
	return g, err
}

// ruleAtDeath finds the set of a process that was in no group, by its ledger
// line: one that ended before its exec could be looked at. Only rules about
// command and user can be told then.
func (c *core) ruleAtDeath(r *acct.Record, life *groups.Life) {
	if len(c.rules.Rules) == 0 || life.Set != groups.Ungrouped || r.Flags&acct.FlagFork != 0 {
		return
	}
	p := proc.Process{PID: r.PID, UID: r.UID, GID: r.GID, Comm: r.Comm}
	f := &ended{facts: facts{Process: rules.Look(c.proc, p, c.names), core: c, set: life.Set}}
	matches := c.rules.Match(f)
	if f.unknown {
		return
	}
	for _, m := range matches {
		if g, err := c.ruleGroup(m); err == nil && g.Open() {
			life.Set = c.tracker.Sets.With(life.Set, g.ID)
		}
	}
	if life.Set != groups.Ungrouped {
		c.counters.ruled++
		c.tracker.Stray(life.Set)
	}
}

// applyToAll applies the rules to every process there is: when rules are read.
func (c *core) applyToAll() error {
	if len(c.rules.Rules) == 0 {
		return nil
	}
	if err := c.current(false); err != nil {
		return err
	}
	var pids []int32
	c.tracker.EachLive(func(l groups.Life) { pids = append(pids, l.PID) })
	slices.Sort(pids)
	for _, pid := range pids {
		c.applyRules(pid)
	}
	return nil
}

// facts are those of a process, and the groups it is in.
type facts struct {
	*rules.Process
	core *core
	set  groups.SetID
}

func (f *facts) Groups() []string { return f.core.groupNames(f.set) }

// ended are the facts of a process that is gone: only what its ledger line says
// is known.
type ended struct {
	facts
	unknown bool // a rule asked for what nobody can tell any more
}

func (e *ended) Executable() string  { e.unknown = true; return "" }
func (e *ended) Cgroup() string      { e.unknown = true; return "" }
func (e *ended) Env(string) []string { e.unknown = true; return nil }

// TryRules says what the rules would do with a process.
func (s *service) TryRules(ctx context.Context, who api.Caller, pid int) (out api.RulesTrial, err error) {
	err = s.do(ctx, func() error {
		if !who.Admin {
			return api.Forbidden("rules are for root and members of unix group %s to try", api.AdminGroup)
		}
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
		}
		f := &facts{Process: rules.Look(c.proc, p, c.names), core: c, set: l.Set}
		out = api.Try(c.rules, pid, wall(proc.BootTime(), l.Start), f, func(name string) bool { g := c.group(name); return g != nil && !g.Open() })
		return nil
	})
	return out, err
}
