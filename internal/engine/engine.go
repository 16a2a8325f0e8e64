// SPDX-License-Identifier: Apache-2.0

// Package engine is all that the service knows: who is in which groups, which
// death belongs to whom, and what was billed. It is a state machine: events,
// records, ledger lines and looks at /proc go in; bills, the history and what a
// database must hold come out. It has no goroutine, lock, file or clock. One
// goroutine owns it, and says at each call what time it is.
//
// One event goes straight through it: Events puts it in the tracker, Lines joins
// the record of a death to the life the tracker knows, Save hands the bill to a
// transaction, and Snapshot shows what is in it.
package engine

import (
	"errors"
	"time"

	"elsa/internal/fault"
	"elsa/internal/fill"
	"elsa/internal/history"
	"elsa/internal/lineage"
	"elsa/internal/rules"
	"elsa/internal/tally"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/usage"
)

// World is the machine, as far as the engine has to look at it: at the start,
// after loss, for rules, and to bring a live process's bill up to date. Its
// methods are called in the goroutine that owns the engine, and do not block. A
// process may be busy: the error then is [proc.ErrBusy]; see also Answered.
type World interface {
	// Process looks at one process. The error wraps fs.ErrNotExist when there is none.
	Process(pid int32) (proc.Process, error)
	// Processes appends every process there is to buf.
	Processes(buf []proc.Process) ([]proc.Process, error)
	// Threads are the ids of a process's threads.
	Threads(pid int32) ([]int32, error)
	// IsThread tells whether there is a thread tid that is no process, as far as that
	// can be seen.
	IsThread(tid int32) bool
	// Sample brings s, the last sample of the process or a zero one, up to date.
	// It fails when the process is gone.
	Sample(k groups.Key, s *proc.Sample) error
	// Traits are what rules ask of the process p, which is in the control group of an
	// id, or, with 0, in one that is to be looked up.
	Traits(p proc.Process, cgroup uint64) rules.Traits
	rules.Names
}

// Options are fixed for the engine's life.
type Options struct {
	// World is the machine. Required.
	World World
	// NoExits: the source of events tells no exits; see [groups.Tracker].
	NoExits bool
	// WholeExits: the source of events tells the end of processes, before their line
	// is written; see [groups.Tracker].
	WholeExits bool
	// ExpectExact: records of a task's release come, later than all others.
	ExpectExact bool
	// Ledger: the kernel writes a line for each death since LedgerSince, so that
	// a death without one is missing.
	Ledger      bool
	LedgerSince clock.Boot
	// Resumed and ExactResumed: events, and records of releases, go on where the
	// last run left them, with nothing in between.
	Resumed, ExactResumed bool
	// Commands bounds the commands that are told apart in an hour of the history.
	Commands int
	// Retention is how long the history is kept, and Hours how long its hours are
	// told apart from the day.
	Retention, Hours time.Duration
	// KnownCommands returns the commands that the database has of an hour. Required.
	KnownCommands func(hour uint32) []string
	// Rules put processes in groups; nil is none.
	Rules *rules.Set
	// Rows: what is billed is handed out by Save row by row, for a journal.
	Rows bool
	// Refused counts what was refused; nil counts nothing.
	Refused *tally.Shared
}

func (o *Options) check() error {
	switch {
	case o.World == nil:
		return errors.New("make engine: no World")
	case o.KnownCommands == nil:
		return errors.New("make engine: no KnownCommands")
	case o.Commands <= 0:
		return errors.New("make engine: Commands must be positive")
	case o.Retention <= 0 || o.Hours <= 0:
		return errors.New("make engine: Retention and Hours must be positive")
	case o.Resumed && o.NoExits:
		return errors.New("make engine: a source without exits cannot be resumed")
	}
	return nil
}

// database is what stored state belongs to.
type database struct {
	// created is when it was made.
	created time.Time
	// boot is the kernel's id of the running boot.
	boot string
}

// Engine is what the service knows. The zero value is not ready; use New.
type Engine struct {
	options Options
	// began is when it was made: the source of events was open then.
	began clock.Boot
	// now is the time of the call that is under way.
	now Now
	// clocks relate the clocks that records and events are stamped by.
	clocks clocks
	// loss is what is in doubt since events were lost.
	loss loss
	// tracker knows every process and which set of groups it is in.
	tracker *groups.Tracker
	// join puts each death on the bill of its set.
	join *usage.Join
	// catalog are the groups.
	catalog *groups.Catalog
	// lineage knows why processes are in their groups.
	lineage *lineage.Book
	// rows are what was billed since the last Save; nil if nobody wants them.
	rows *rows
	// calendar is the date by which what is old goes.
	calendar calendar
	// history adds up what is billed by the hour, user and command.
	history past
	// ruleset decides on groups by what processes are; ruled is what it came to, and
	// unseen what it could not look at.
	ruleset *rules.Set
	ruled   ruled
	unseen  unseen
	// fills are what groups took of the past.
	fills *fill.Book
	// samples are of live processes.
	samples samples
	// programs are the names of what processes executed.
	programs programs
	// until are the groups that close when a process ends, by its pid. It is not
	// kept over a restart, after which Expire closes them.
	until map[int32]uint32
	// database is what stored state belongs to.
	database database
	// counts are since the start of the service.
	counts tally.Counts
	// ending are deaths without a line of which the process is gone.
	ending ending
	// unsaved: the last transaction failed, and all must be put again.
	unsaved bool
	// formerBoot are the members and open deaths of the last boot, between
	// BeginAfterReboot and EndOfBoot.
	formerBoot map[groups.Key]bool
	// inUse is room for a look at which sets are in use.
	inUse groups.InUse
}

// New returns an engine that knows nothing yet; see Load.
func New(o Options, now Now) (*Engine, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Rules == nil {
		o.Rules = &rules.Set{}
	}
	e := &Engine{
		options: o, began: now.Boot, now: now, tracker: groups.New(groups.NewSets()), join: usage.NewJoin(),
		catalog: groups.NewCatalog(groups.Former + 1), fills: fill.New(now.Wall), ruleset: o.Rules, database: database{created: now.Wall},
		calendar: calendar{made: map[uint32]clock.Boot{}}, ending: ending{seen: map[groups.Key]uint64{}},
		unseen: unseen{misses: misses{anyRule: 0}, unruled: map[groups.Key]struct{}{}},
	}
	e.tracker.NoExits, e.tracker.WholeExits = o.NoExits, o.WholeExits
	e.join.ExpectExact, e.join.Looks = o.ExpectExact, o.ExpectExact
	e.join.Lines = o.Ledger
	e.join.OpenFor = time.Duration(fault.Size("open", int64(e.join.OpenFor/time.Second))) * time.Second
	e.lineage = lineage.New(e.eachHeir)
	rolls := history.New(e.tracker.Sets, o.Commands)
	rolls.Known = o.KnownCommands
	e.history = newPast(rolls, o.Retention, o.Hours)
	e.join.Roll = rolls.Roll
	e.join.Program = e.programs.get
	return e, nil
}

// Counts returns the counters as they are now.
func (e *Engine) Counts() tally.Counts { return e.counts }

// Held counts the precise records that wait for their line.
func (e *Engine) Held() int { return e.join.Held() }

// eachHeir calls f for every process whose ancestors may be asked for: those that live in
// a group or, where rows tell of parents, whose row is not written yet.
func (e *Engine) eachHeir(f func(groups.Life)) {
	e.tracker.EachLive(func(l groups.Life) {
		if l.Set.Grouped() || e.rows != nil {
			f(l)
		}
	})
	if e.rows != nil {
		e.tracker.EachAwaiting(f)
	}
}
