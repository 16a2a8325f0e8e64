// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"

	"elsa/internal/engine"
	"elsa/pkg/api"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// changeable finds a group that the caller may change. A request that takes events
// in looks for its group afterwards, since rules may make groups meanwhile.
func changeable(e *engine.Engine, who api.Caller, name string) (*groups.Group, error) {
	g := e.Group(name)
	if g == nil {
		return nil, api.NoSuchGroup(name)
	}
	return g, who.MayChange(g)
}

// joinable says whether the caller may put processes in a group.
func joinable(who api.Caller, g *groups.Group) error {
	if err := who.MayChange(g); err != nil {
		return err
	}
	if !g.Takes() {
		return api.Conflict("group %s is closed: it takes no new members", g.Name)
	}
	return nil
}

// refused is what a caller is told of a group that was not made.
func refused(err error) error {
	if errors.Is(err, engine.ErrReserved) || errors.Is(err, engine.ErrQuota) {
		return api.Forbidden("%v", err)
	}
	return api.Conflict("%v", err)
}

// mayFill says whether the caller may put a process in a group: not in silence in
// that of another user, who would see it. owner is the uid that the caller named.
func mayFill(who api.Caller, g *groups.Group, p *proc.Process, owner *uint32) error {
	switch {
	case g.Owner == 0, g.Owner == who.UID, g.Owner == p.UID, owner != nil && *owner == g.Owner:
		return nil
	}
	return api.Conflict("group %s belongs to uid %d, who would see process %d and could delete its bill; use another, or if that is meant, say so with owner %d (elsactl group add --owner %[4]d)", g.Name, g.Owner, p.PID, g.Owner)
}

// busy is err, said to who asks, where that is of a process that could not be looked
// at in time.
func busy(pid int, err error) error {
	if errors.Is(err, proc.ErrBusy) {
		return api.Unavailable("process %d is executing a program and cannot be looked at; nothing was changed", pid)
	}
	return err
}
