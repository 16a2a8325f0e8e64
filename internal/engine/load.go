// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"

	"elsa/internal/fault"
	"elsa/internal/store"
	"elsa/internal/tally"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// Load takes over what the database holds: groups, sets, bills, open deaths, and
// why processes are in their groups. boot is the kernel's id of the running boot;
// rebooted tells that the state is of another. What became of the members is found
// out by one of GoOn, GoOnWithStream and BeginAfterReboot, which comes next.
func (e *Engine) Load(st *store.State, boot string, now Now) (rebooted bool) {
	e.now = now
	if e.options.Rows {
		e.keepRows()
	}
	e.database.created, e.database.boot = st.Meta.Created, boot
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
	for i := range st.Filled {
		e.fills.Restore(st.Filled[i])
	}
	for i := range st.Taken {
		e.fills.RestoreTaken(st.Taken[i])
	}
	for i := range st.Deaths {
		// Its exact record may have passed meanwhile; that of a zombie comes later.
		at := now.Boot.Add(-e.join.Patience)
		if e.options.ExactResumed { // its exact record comes yet
			at = cmp.Or(st.Deaths[i].At, now.Boot)
		}
		e.join.RestoreDeath(st.Deaths[i], at)
		e.history.rolls.Remember(st.Deaths[i].Cell.Set)
	}
	e.join.Reported, e.join.Settled = st.Meta.Reported, settledBy(st)
	if e.rows != nil {
		e.rows.next = max(st.Meta.NextRow, 1)
	}
	fault.Point(fault.RestoreLoaded)

	rebooted = st.Meta.BootID != "" && st.Meta.BootID != boot
	e.calendar.restore(&st.Meta, rebooted)
	for _, o := range st.Origins {
		e.lineage.Restore(o)
	}
	e.lineage.DropBoot(boot)
	if !rebooted {
		e.join.Booted = e.clocks.resume(settingsOf(&st.Meta))
		for _, a := range st.Ancestors {
			e.lineage.AddAncestor(a)
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
	for i := range st.Members {
		m := &st.Members[i]
		p, alive := e.lookAgain(m.Life.Key())
		e.restore(m, p.Threads, alive)
	}
	if st.Meta.AsOf == 0 { // the first start
		return e.begin()
	}
	e.loss.trusted, e.loss.gaps = st.Meta.AsOf, gapSteps
	return e.scan(st.Meta.AsOf)
}

// GoOnWithStream goes on with the events since the stop, in their order: all that
// lived then or awaited its line is stored, and the end of what lived is among the
// events, if it has ended: nobody is unknown. The events must be taken in next, and
// then GoneOn called.
func (e *Engine) GoOnWithStream(st *store.State, now Now) {
	e.now = now
	e.clocks.goOn(st.Meta.AsOf, st.Meta.Asleep)
	for i := range st.Members {
		m := &st.Members[i]
		threads := int32(1)
		if p, err := e.options.World.Process(m.Life.PID); err == nil && p.Start.Same(m.Life.Start) {
			threads = p.Threads
		}
		e.restore(m, threads, m.Life.Exit == 0)
	}
	e.loss.trusted = st.Meta.AsOf
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
	e.now, e.formerBoot = now, make(map[groups.Key]bool, len(st.Members)+len(st.Deaths))
	for i := range st.Deaths {
		e.formerBoot[st.Deaths[i].Key] = true
	}
	for i := range st.Members {
		e.restore(&st.Members[i], 0, false)
		e.formerBoot[st.Members[i].Life.Key()] = true
	}
	e.loss.trusted, e.loss.gaps = st.Meta.AsOf, gapSteps
	e.clocks.recall(st.Meta.Booted)
	e.clocks.elder, e.clocks.former = st.Meta.Asleep, settingsOf(&st.Meta)
}

// EndOfBoot bills members of the last boot by their last sample, where the
// machine's end left no line, and begins with the processes there are.
func (e *Engine) EndOfBoot(now Now) error {
	e.now = now
	e.tracker.GiveUp(func(l groups.Life) bool {
		if !e.formerBoot[l.Key()] {
			return false // of this boot: its line is on the way
		}
		e.counts[tally.Missing]++
		e.join.Unledgered(l, now.Boot)
		return true
	})
	e.join.EndBoot(func(k groups.Key) bool { return e.formerBoot[k] })
	e.formerBoot = nil
	e.clocks.booted, e.clocks.elder, e.clocks.former = e.clocks.booted[1:], 0, nil
	return e.begin()
}

// begin takes the processes there are for such as are in no group. With that, all is
// known.
func (e *Engine) begin() error {
	e.loss.trusted, e.loss.gaps = e.now.Boot, gapSteps
	return e.scan(0)
}

func (e *Engine) restore(m *store.Member, threads int32, alive bool) {
	e.tracker.Restore(m.Life, threads, alive)
	e.lineage.HasChild(m.Life.PPID)
	if m.Account.Last != (usage.Measure{}) && m.Account.Hour == 0 { // by an early version
		m.Account.Hour, m.Account.UID, m.Account.Comm = usage.HourOf(e.now.Wall.Unix()), usage.UnknownUID, usage.Unknown
	}
	if m.Account != (usage.Account{}) {
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
