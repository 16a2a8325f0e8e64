// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"elsa/internal/tally"
	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/cnfork"
	"elsa/pkg/groups"
)

// SetClocks says how the clocks stand: asleep is how long the machine was suspended
// since boot (CLOCK_BOOTTIME less CLOCK_MONOTONIC), and tick the length of the
// scheduler's tick. It is to be called before each batch of events that have
// [cnfork.Event.Time], which may come after a suspend, and before each round of reading.
func (e *Engine) SetClocks(now Now, asleep, tick time.Duration) {
	e.now = now
	if tick > 0 {
		e.join.Tick = tick
	}
	if slept := asleep - e.clocks.asleep; slept > nap && len(e.clocks.booted) > 0 {
		e.join.Slept(slept, now.Boot)
	}
	e.join.Booted, e.join.Asleep = e.clocks.set(now, asleep), asleep
}

// Events takes in what the kernel told of forks, execs, users and exits, in its
// order. lost events came before them and were not delivered; rejected messages
// were no events.
func (e *Engine) Events(events []cnfork.Event, lost, rejected uint64, now Now) {
	e.now = now
	e.counts[tally.EventsLost] += lost
	e.counts[tally.EventsRejected] += rejected
	if lost > 0 {
		e.Lose()
	}
	for i := range events {
		ev := &events[i]
		at, before := e.clocks.stamped(ev.Time)
		if at != before && ev.Kind == cnfork.Fork {
			at = e.forkedAt(ev.PID, at, before)
		}
		switch ev.Kind {
		case cnfork.Fork:
			e.counts[tally.Forks]++
			switch {
			case ev.TGID == 0: // the fork connector names tasks, and no time
				e.tracker.Task(ev.ParentPID, ev.PID, clock.At(now.Boot, clock.Read))
			case ev.Start != 0: // by BPF: who forked it, and which life of its pid
				forker := groups.Key{PID: ev.Forker, Start: clock.At(ev.ForkerStart, clock.Exact)}
				e.untold(forker)
				e.tracker.ForkOf(forker, ev.PID, clock.At(ev.Start, clock.Exact))
				e.forked(ev.Forker, ev.PID)
				e.forkedLate(ev.Forker, groups.Key{PID: ev.PID, Start: clock.At(ev.Start, clock.Exact)})
			case ev.Thread():
				e.tracker.Thread(ev.TGID)
			default:
				e.tracker.Fork(ev.ParentTGID, ev.PID, clock.At(at, clock.Stamped))
				e.forked(ev.ParentTGID, ev.PID)
				e.forkedLate(ev.ParentTGID, groups.Key{PID: ev.PID, Start: clock.At(at, clock.Stamped)})
			}
		case cnfork.Exec:
			e.counts[tally.Execs]++
			x := executed{pid: ev.TGID}
			if ev.Start != 0 {
				x = executed{ev.TGID, clock.At(ev.Start, clock.Exact), ev.UID, ev.GID, ev.Comm, ev.Cgroup}
				e.untold(groups.Key{PID: x.pid, Start: x.start})
			}
			e.tracker.Exec(ev.TGID)
			e.executes(ev.TGID)
			e.program(x)
			e.rule(x)
		case cnfork.UID, cnfork.GID:
			e.counts[tally.OtherEvents]++
			e.applyRules(ev.TGID)
		case cnfork.Exit:
			e.counts[tally.Exits]++
			if ev.Start != 0 {
				start := clock.At(ev.Start, clock.Exact)
				if l, known := e.tracker.Lookup(ev.TGID); known && l.Start.Same(start) {
					e.join.Peak(l.Key(), ev.Peak)
					e.programs.peak(l.Key(), ev.Peak)
				}
				e.tracker.End(groups.Key{PID: ev.TGID, Start: start}, ev.End)
			} else {
				e.tracker.Exit(ev.PID, ev.TGID, at)
			}
			e.closeEnded(ev.TGID)
		default:
			e.counts[tally.OtherEvents]++
		}
	}
}

// program notes what a process executed. Where the event does not tell, the name that the
// process had before is not its own any more.
func (e *Engine) program(x executed) {
	l, ok := e.tracker.Live(x.pid)
	switch {
	case !ok:
	case x.told() && l.Start.Same(x.start):
		e.programs.executed(l.Key(), x.comm)
	default:
		e.programs.ended(l.Key())
	}
}

// Taskstats takes in taskstats records, after so many lost ones and messages that
// were none.
func (e *Engine) Taskstats(records []acct.Record, lost, rejected uint64, now Now) {
	e.now = now
	e.counts[tally.TaskstatsLost] += lost
	e.counts[tally.EventsRejected] += rejected
	e.counts[tally.Taskstats] += uint64(len(records))
	for i := range records {
		if !records[i].Whole {
			// One thread's figures, of a process whose record came before or will
			// not come. Its line has the whole; a part would count twice.
			e.counts[tally.JoinedPart]++
			continue
		}
		e.join.Precise(&records[i], now.Boot)
	}
}

// Exact takes in records of released tasks, after so many lost ones and messages
// that were none.
func (e *Engine) Exact(records []acct.Record, lost, rejected uint64, now Now) {
	e.now = now
	e.counts[tally.ExactLost] += lost
	e.counts[tally.EventsRejected] += rejected
	e.counts[tally.Exact] += uint64(len(records))
	for i := range records {
		r := records[i]
		r.Start = int64(e.clocks.asStamped(r.PID, clock.Boot(r.Start)))
		e.join.Precise(&r, now.Boot)
	}
}

// LoseExact takes the ends of so many processes, among the exact records that were
// lost, and the CPU time of what ended.
func (e *Engine) LoseExact(processes uint64, cpu time.Duration, now Now) {
	e.now = now
	e.join.LostExact(processes, cpu, now.Boot)
}

// TellsExits reports whether the source of events tells exits.
func (e *Engine) TellsExits() bool { return !e.options.NoExits }

// forkedAt is when a process began that was forked before the machine went to sleep or
// when it had woken up: /proc or its exact record tells. That may come later.
func (e *Engine) forkedAt(pid int32, at, before clock.Boot) clock.Boot {
	start := clock.At(before, clock.Stamped)
	if p, err := e.options.World.Process(pid); err == nil && p.Start.Same(start) || e.join.HoldsExact(pid, start) {
		return before
	}
	e.clocks.births = append(e.clocks.births, birth{pid, at, before})
	return at
}

// untold makes known a process whose fork was not told although none was lost. There
// are guest kernels that run no BPF program on top of process 1: that forked it. Or it
// lived when the last run ended, in no group.
func (e *Engine) untold(k groups.Key) {
	if e.loss.pending || e.loss.gaps > 0 || k.Start.Boot() <= e.began && !e.wentOn() {
		return
	}
	if l, known := e.tracker.Lookup(k.PID); known && l.Start.Same(k.Start) {
		return
	}
	if k.Start.Boot() <= e.began {
		e.tracker.Restore(groups.Life{PID: k.PID, Start: k.Start, Set: groups.Ungrouped}, 1, true)
		return
	}
	e.tracker.Fork(1, k.PID, k.Start)
	e.forked(1, k.PID)
}

// forked notes who forked. Where a former life of the child's pid awaits its record, that
// may have forked, too.
func (e *Engine) forked(parent, child int32) {
	if e.tracker.Older(child) {
		e.lineage.HasChild(parent)
	} else {
		e.lineage.Fork(parent, child)
	}
}

// forkedLate notes a child of a process that is waited for, or has not met new rules.
func (e *Engine) forkedLate(parent int32, child groups.Key) {
	for _, l := range [...]*late{&e.unseen.late, &e.ruled.due.late} {
		if l.fork(parent, child) {
			e.missed(nil)
		}
	}
}
