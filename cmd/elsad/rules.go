// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"elsa/internal/config"
	"elsa/pkg/acct"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/rules"
)

// reload follows SIGHUP: it reads the configuration file again and puts its
// rules in place of the old ones. Counts go on. A bad file changes nothing.
// Flags are not read again: they need a restart.
func reload(ctx context.Context, c *core, path string) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, unix.SIGHUP)
	defer signal.Stop(hup)
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
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		new(config.Config).Flags(flags)
		set, err := config.ReadFile(path, flags)
		if err != nil {
			c.log.Error("configuration is not taken over; the old rules stay", "err", err)
			continue
		}
		if c.do(ctx, func() { c.rules = set; err = c.applyToAll() }) == nil && err == nil {
			c.log.Info("rules read again", "rules", len(set.Rules))
		}
	}
}

// applyRules puts a process that executed a program, or changed its user, in
// the groups that the rules name. It does not take it out of any.
func (c *core) applyRules(pid int32) {
	if len(c.rules.Rules) == 0 {
		return
	}
	life, ok := c.tracker.Live(pid)
	if !ok {
		return
	}
	f := &facts{core: c, life: life}
	matches := c.rules.Match(f)
	if f.err != nil {
		c.counters.ruleMisses++ // it ended before it could be looked at
		return
	}
	for _, m := range matches {
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
	f := &facts{core: c, life: *life, p: &proc.Process{PID: r.PID, UID: r.UID, GID: r.GID, Comm: r.Comm}, dead: true}
	matches := c.rules.Match(f)
	if f.err != nil {
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
	if err := c.drain(); err != nil {
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

// facts answers what the rules ask about a process, each question once.
type facts struct {
	core *core
	life groups.Life
	p    *proc.Process
	exe  *string
	cg   *string
	env  [][]byte
	err  error
	dead bool // only what the ledger line says is known
}

var _ rules.Facts = (*facts)(nil)

func (f *facts) process() *proc.Process {
	if f.p == nil {
		p, err := f.core.proc.Process(f.life.PID)
		if err == nil && !sameStart(p.Start, f.life.Start) {
			err = os.ErrNotExist
		}
		if err != nil {
			f.err = err
		}
		f.p = &p
	}
	return f.p
}

// unknown notes that a rule asked for what nobody can tell any more.
func (f *facts) unknown() bool {
	if f.dead {
		f.err = os.ErrNotExist
	}
	return f.dead
}

func (f *facts) Command() string { return f.process().Command() }
func (f *facts) UID() uint32     { return f.process().UID }
func (f *facts) GID() uint32     { return f.process().GID }

func (f *facts) User() string {
	id := strconv.FormatUint(uint64(f.UID()), 10)
	return f.core.names.get("u"+id, id, func() (string, error) {
		u, err := user.LookupId(id)
		if err != nil {
			return "", err
		}
		return u.Username, nil
	})
}

func (f *facts) UnixGroup() string {
	id := strconv.FormatUint(uint64(f.GID()), 10)
	return f.core.names.get("g"+id, id, func() (string, error) {
		g, err := user.LookupGroupId(id)
		if err != nil {
			return "", err
		}
		return g.Name, nil
	})
}

func (f *facts) Executable() string {
	if f.unknown() {
		return ""
	}
	if f.exe == nil {
		exe, _ := f.core.proc.Executable(f.life.PID) // a kernel thread has none
		f.exe = &exe
	}
	return *f.exe
}

// Cgroup is the path in the unified hierarchy, or in the first that has one.
func (f *facts) Cgroup() string {
	if f.unknown() {
		return ""
	}
	if f.cg == nil {
		text, _ := os.ReadFile(fmt.Sprintf("%s/%d/cgroup", f.core.proc, f.life.PID))
		path := ""
		for line := range strings.Lines(string(text)) {
			parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
			if len(parts) == 3 && parts[2] != "/" && (path == "" || parts[0] == "0" || parts[1] == "name=systemd") {
				path = parts[2]
			}
		}
		f.cg = &path
	}
	return *f.cg
}

func (f *facts) Groups() []string { return f.core.groupNames(f.life.Set) }

func (f *facts) Env(name string) []string {
	if f.unknown() {
		return nil
	}
	if f.env == nil {
		text, _ := os.ReadFile(fmt.Sprintf("%s/%d/environ", f.core.proc, f.life.PID))
		f.env = bytes.Split(text, []byte{0})
	}
	for _, e := range f.env {
		if v, ok := bytes.CutPrefix(e, []byte(name+"=")); ok {
			return []string{string(v)}
		}
	}
	return nil
}

// nameCache keeps names of users and unix groups; looking one up may ask a
// directory service. Ids are few; it is emptied when they are not.
type nameCache map[string]string

func (n nameCache) get(key, otherwise string, look func() (string, error)) string {
	if name, ok := n[key]; ok {
		return name
	}
	if len(n) > 1<<12 {
		clear(n)
	}
	name, err := look()
	if err != nil {
		name = otherwise
	}
	n[key] = name
	return name
}
