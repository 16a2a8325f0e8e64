// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"elsa/internal/fault"
	"elsa/internal/store"
	"elsa/internal/tally"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// Load takes over what the database holds: groups, sets, bills, open deaths, and
// why processes are in their groups. boot is the kernel's id of the running boot;
// rebooted tells that the state is of another. What became of the members is found
// out by one of GoOn, GoOnWithStream and BeginAfterReboot, which comes next.
func (e *Engine) Load(st *store.State, boot string, now Now) (rebooted bool) {
	e.now = now
	e.created, e.boot = st.Meta.Created, boot
	e.history.daily = st.Meta.Daily
	e.catalog = groups.NewCatalog(st.Meta.NextGroup)
	for i := range st.Groups {
		e.catalog.Restore(st.Groups[i])
	}
	for i := range st.Sets {
		s := &st.Sets[i]
		e.tracker.Sets.Restore(s.ID, s.Groups)
		e.join.RestoreSet(s.ID, s.Usage)
	}
	charged := clock.Boot(0)
	if e.options.ExactResumed {
		charged = now.Boot // their exact records come yet
	}
	for i := range st.Deaths {
		e.join.RestoreDeath(st.Deaths[i], charged)
	}
	e.join.Reported, e.join.Settled = st.Meta.Reported, settledBy(st)
	fault.Point(fault.RestoreLoaded)

	rebooted = st.Meta.BootID != "" && st.Meta.BootID != boot
	e.calendar.restore(&st.Meta, rebooted)
	for _, o := range st.Origins {
		e.lineage.Restore(o)
	}
	e.lineage.DropBoot(boot)
	if !rebooted {
		for _, a := range st.Ancestors {
			e.lineage.Bury(a)
		}
		for i := range st.Held {
			e.join.Precise(&st.Held[i], now.Boot)
		}
	}
	return rebooted
}

// GoOn goes on within the same boot: members are looked up, and what they forked
// meanwhile is adopted from them.
func (e *Engine) GoOn(st *store.State, now Now) error {
	e.now = now
	e.clocks.wasBooted(st.Meta.Booted) // the clock may have been set since
	for i := range st.Members {
		m := &st.Members[i]
		p, err := e.options.World.Process(m.Life.PID)
		alive := err == nil && p.Start.Same(m.Life.Start) && !p.Dead()
		e.restore(m, p.Threads, alive)
	}
	e.loss.trusted, e.loss.gaps = st.Meta.AsOf, gapSteps
	e.loss.restarted = st.Meta.BootID != ""
	defer func() { e.loss.restarted = false }()
	return e.scan(st.Meta.AsOf)
}

// GoOnWithStream goes on with the events since the stop, in their order: all that
// lived then is stored, and its end is among the events, if it has ended. The
// events must be taken in next, and then GoneOn called.
func (e *Engine) GoOnWithStream(st *store.State, now Now) {
	e.now = now
	e.clocks.wasBooted(st.Meta.Booted)
	e.clocks.goOn(st.Meta.AsOf, st.Meta.Asleep)
	for i := range st.Members {
		m := &st.Members[i]
		threads := int32(1)
		if p, err := e.options.World.Process(m.Life.PID); err == nil && p.Start.Same(m.Life.Start) {
			threads = p.Threads
		}
		e.restore(m, threads, m.Life.Exit == 0)
	}
	// Lines of the last moment may be of ended processes that are not stored.
	e.loss.trusted, e.loss.gaps = st.Meta.AsOf, gapSteps
}

// GoneOn counts threads as they are now, where GoOnWithStream took them for what
// they were at its time, since.
func (e *Engine) GoneOn(since, now Now) error {
	e.now = now
	if e.loss.pending {
		return nil // the rescan does
	}
	return e.scan(since.Boot)
}

// BeginAfterReboot says that every member is dead. Those whose line was written
// are billed by it: read the ledger next, and call EndOfBoot then.
func (e *Engine) BeginAfterReboot(st *store.State, now Now) {
	e.now = now
	for i := range st.Members {
		e.restore(&st.Members[i], 0, false)
	}
	e.loss.trusted, e.loss.gaps = st.Meta.AsOf, gapSteps
	e.clocks.booted = append([]clock.Wall{st.Meta.Booted}, e.clocks.booted...)
	e.clocks.elder = st.Meta.Asleep
}

// EndOfBoot bills members of the last boot by their last sample, where the
// machine's end left no line, and begins with the processes there are.
func (e *Engine) EndOfBoot(now Now) error {
	e.now = now
	e.tracker.Bury(func(l groups.Life) {
		e.counts[tally.Missing]++
		e.join.Unledgered(l, now.Boot)
	})
	e.clocks.booted, e.clocks.elder = e.clocks.booted[1:], 0
	return e.scan(0)
}

func (e *Engine) restore(m *store.Member, threads int32, alive bool) {
	e.tracker.Restore(m.Life, threads, alive)
	if m.Account.Base.CPU() != 0 || m.Account.Last.CPU() != 0 {
		e.join.RestoreAccount(m.Life.Key(), m.Life.Set, m.Account)
	}
}

// settledBy are the deaths that were settled by the time of a database. An early
// version has them on the bills alone, with those that wait.
func settledBy(st *store.State) (n usage.Settled) {
	if st.Meta.Settled != nil {
		return *st.Meta.Settled
	}
	for i := range st.Sets {
		u := &st.Sets[i].Usage
		n.Exact, n.Sampled, n.Rounded = n.Exact+u[usage.Exact], n.Sampled+u[usage.Sampled], n.Rounded+u[usage.Rounded]
	}
	for i := range st.Deaths {
		of := []*uint64{&n.Rounded, &n.Sampled, &n.Exact}[min(st.Deaths[i].Grade, 2)]
		*of -= min(*of, 1)
	}
	return n
}
