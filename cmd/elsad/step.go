// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/fault"
	"elsa/pkg/acct"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// drainTimeout bounds a drain, which takes well under a millisecond: a source
// that does not answer is broken.
const drainTimeout = 30 * time.Second

// step brings the bills up to date. The order is the barrier rule: first note
// where the ledger ends, then take in all that the kernel has queued, then join
// the lines up to there. The fork of every process on those lines is then known,
// and so is every taskstats record, which is sent before the line is written.
func (c *core) step() error {
	c.setClocks()
	end := c.position
	if c.ledger != nil {
		var err error
		if end, err = c.ledger.End(); err != nil {
			return fmt.Errorf("read accounting file: %w", err)
		}
	}
	now := proc.Boottime()
	if err := c.drain(); err != nil {
		return err
	}
	fault.Point(fault.StepDrained)
	c.asOf = now
	if !c.resync && c.gaps == 0 {
		c.trusted = now
	}
	if err := c.know(); err != nil {
		return err
	}
	c.classify(c.mark%64 == 0)
	if err := c.joinLines(end); err != nil {
		return err
	}
	fault.Point(fault.StepJoined)
	c.gaps = max(c.gaps-1, 0)
	c.tracker.Barrier(c.unledgered)
	c.settleZombies()
	c.join.Step(proc.Boottime(), c.orphan)
	c.watchLedger()
	return c.watchEvents()
}

func (c *core) setClocks() {
	var tick unix.Timespec // the coarse clock goes by it
	if unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &tick) == nil {
		c.join.Tick = time.Duration(tick.Nano())
	}
	c.monotonic = proc.BoottimeOffset()
	wall := time.Now().UnixNano() - proc.Boottime()
	if n := len(c.offsets); n > 0 && abs(c.offsets[n-1]-wall) < int64(500*time.Millisecond) {
		c.offsets[n-1] = wall
	} else {
		// The wall clock was set. Lines written before and after are in the
		// ledger; keep a few offsets to recognise either.
		c.offsets = append(c.offsets, wall)
		if len(c.offsets) > 8 {
			c.offsets = c.offsets[1:]
		}
	}
	c.join.WallOffset = wall
}

// drain takes in everything the kernel had queued when it was called.
func (c *core) drain() error {
	c.mark++
	c.events.Mark(c.mark)
	waitTS, waitEx := c.taskstats != nil, c.exact != nil
	if waitTS {
		c.taskstats.Mark(c.mark)
	}
	if waitEx {
		c.exact.Mark(c.mark)
	}
	timeout := time.NewTimer(drainTimeout)
	defer timeout.Stop()
	for waitEv := true; waitEv || waitTS || waitEx; {
		select {
		case b, ok := <-c.events.Batches():
			if !ok {
				return errors.New("read events: stream ended")
			}
			waitEv = waitEv && b.Barrier < c.mark
			c.takeEvents(b)
		case b, ok := <-batches(c.taskstats):
			if !ok {
				return errors.New("read taskstats: stream ended")
			}
			waitTS = waitTS && b.Barrier < c.mark
			c.takeTaskstats(b)
		case b, ok := <-batches(c.exact):
			if !ok {
				return errors.New("read exact: stream ended")
			}
			waitEx = waitEx && b.Barrier < c.mark
			c.takeExact(b)
		case <-timeout.C:
			return fmt.Errorf("drain streams: no answer in %v", drainTimeout)
		}
	}
	return nil
}

// know repairs the tracker if events were lost.
func (c *core) know() error {
	if !c.resync {
		return nil
	}
	return c.rescan()
}

// rescan repairs the tracker after lost events.
func (c *core) rescan() error {
	if err := c.scan(c.trusted); err != nil {
		return err
	}
	fault.Point(fault.ResyncScanned)
	// What died before the scan may have its line after this step's end.
	c.resync, c.gaps = false, 2
	c.counters.resyncs++
	for _, pid := range c.ruleable {
		c.applyRules(pid)
	}
	c.ruleable = c.ruleable[:0]
	if now := proc.Boottime(); now > c.watch.tellLoss {
		c.watch.tellLoss = now + tellInterval // a storm loses many times a second
		c.log.Warn("events lost: processes rescanned", "total", c.counters.lost, "rescans", c.counters.resyncs)
	}
	return nil
}

// scan makes the tracker agree with /proc; see groups.Tracker.Resync for since.
func (c *core) scan(since int64) error {
	now := proc.Boottime()
	var err error
	c.procs, err = c.proc.Snapshot(c.procs[:0])
	if err != nil {
		return fmt.Errorf("scan processes: %w", err)
	}
	seen := make([]groups.Scanned, 0, len(c.procs))
	for i := range c.procs {
		if p := &c.procs[i]; !c.told(p) {
			seen = append(seen, scanned(p))
			c.lineage.HasChild(p.PPID)
		}
	}
	c.tracker.Resync(seen, since, now, func(k groups.Key) bool { return !c.alive(k) })
	if c.tracker.NoExits {
		for i := range c.procs {
			if c.procs[i].Threads > 1 {
				c.addThreads(c.procs[i].PID)
			}
		}
	}
	return nil
}

// told tells whether a process found after loss, or after a restart, is dead, or is
// dying, and not known. Its line is written: it was read, and the death is on a
// bill, or it will be. A parent that does not wait shows it again at every scan.
func (c *core) told(p *proc.Process) bool {
	if !c.resync && !c.resuming || !p.Dead() && !(p.Exiting && p.Threads <= 1) {
		return false
	}
	l, known := c.tracker.Lookup(p.PID)
	return !known || !proc.SameStart(p.Start, l.Start)
}

// addThreads tells the tracker the threads of a process, for a source that
// names the thread that forks.
func (c *core) addThreads(pid int32) {
	tids, err := c.proc.Threads(pid)
	if err != nil {
		return // it is gone
	}
	for _, tid := range tids {
		c.tracker.AddThread(tid, pid)
	}
}

// classify finds out which of the tasks that the fork connector has named are
// processes, and with threads, which threads are gone.
func (c *core) classify(threads bool) {
	if c.tracker.NoExits {
		c.tracker.Classify(threads, c.look)
	}
}

// look says what a task is now, and when a process started.
func (c *core) look(k groups.Key) (groups.Kind, int64) {
	p, err := c.proc.Process(k.PID)
	switch {
	case err == nil:
		return groups.Process, p.Start
	case c.proc.IsThread(k.PID):
		return groups.ThreadOf, 0
	}
	return groups.Gone, 0
}

func scanned(p *proc.Process) groups.Scanned {
	return groups.Scanned{
		PID: p.PID, PPID: p.PPID, Start: p.Start, Threads: p.Threads,
		Zombie: p.Dead(), Headless: p.State == 'Z' && !p.Dead(),
	}
}

// alive is the second proof that a process lives, beside its absence from a
// listing or a count of its threads.
func (c *core) alive(k groups.Key) bool {
	p, err := c.proc.Process(k.PID)
	return err == nil && proc.SameStart(p.Start, k.Start) && !p.Dead()
}

// joinLines puts the ledger's lines up to end on the bills.
func (c *core) joinLines(end acct.Position) error {
	if c.ledger == nil || end == c.position {
		return nil
	}
	resolved, err := c.resolve(end)
	if err != nil {
		return err
	}
	now, n := proc.Boottime(), 0
	pos, skipped, err := c.ledger.Read(c.position, end, func(recs []acct.Record) error {
		for i := range recs {
			c.line(&recs[i], resolved, n, now)
			n++
		}
		c.replay.advance(len(recs))
		return nil
	})
	c.position = pos
	c.skipped.Add(skipped)
	if err != nil {
		return fmt.Errorf("read accounting file: %w", err)
	}
	return nil
}

func (c *core) line(r *acct.Record, resolved places, n int, now int64) {
	c.counters.bsd++
	life, ok := c.tracker.Reap(r.PID, c.fits(r))
	if set, unproven, found := resolved.of(n); found {
		// The tracker does not know it, or not where it belongs.
		if ok && life.Again {
			life, ok = groups.Life{}, false // an earlier line was that of this life
		}
		if ok {
			c.tracker.Placed(life.Set, set)
		}
		life.Set, life.Inferred, life.Unproven = set, true, unproven
	} else if !ok {
		life.Set, life.Unproven = groups.Unattributed, true
	}
	if !ok {
		c.tracker.Stray(life.Set)
	}
	if ok && c.tracker.Waits(r.PID) {
		lived, precise := c.join.Lifetime(r)
		c.tracker.Ended(life, int64(lived), !precise)
	}
	c.ruleAtDeath(r, &life)
	c.join.Line(r, life, ok, now)
	c.bury(&life, r, now)
}

// fits says whether a life may be the process of a ledger line, by the second
// it began in. The kernel computes that from the wall clock at death.
func (c *core) fits(r *acct.Record) func(*groups.Life) bool {
	return func(l *groups.Life) bool {
		if c.gaps > 0 && c.otherParent(l, r) {
			return false
		}
		for _, off := range c.offsets {
			if abs(r.Begin-(l.Start+off)/1e9) <= 2 {
				return true
			}
		}
		// The clock was set by more steps than are kept; life times stand.
		return l.Exit != 0 && abs(int64(r.Elapsed)-(l.Exit-l.Start)) < int64(time.Second)
	}
}

// otherParent tells, after loss, that a line is of another life of its pid, which
// may have begun in the same second: the parent of this one lives, so that no
// reaper took its place, and the line names another.
func (c *core) otherParent(l *groups.Life, r *acct.Record) bool {
	if r.Source != acct.BSD || r.PPID == l.PPID || c.tracker.NoExits {
		return false
	}
	p, ok := c.tracker.Live(l.PPID)
	return ok && p.Start <= l.Start
}

// unledgered takes a death that got no ledger line: accounting is off, or the
// kernel suspended it.
func (c *core) unledgered(l groups.Life) bool {
	if c.alive(l.Key()) {
		return false
	}
	if c.ledger != nil && l.Exit > c.since {
		c.counters.missing++
	}
	c.join.Unledgered(l, proc.Boottime())
	c.bury(&l, nil, proc.Boottime())
	return true
}

// orphan takes a precise record that met no ledger line in time: on a source
// without exit events it may be the only word of a death.
func (c *core) orphan(r *acct.Record) bool {
	fits := c.fits(r)
	if r.Start != 0 {
		fits = func(l *groups.Life) bool { return abs(l.Start-r.Start) < int64(60*time.Millisecond) }
	}
	l, ok := c.tracker.Peek(r.PID, fits)
	if !ok || l.Again || c.alive(l.Key()) {
		return false
	}
	c.tracker.Reap(r.PID, fits)
	c.join.Precise(r, proc.Boottime())
	c.counters.missing++
	c.join.Unledgered(l, proc.Boottime())
	return true
}

func abs(n int64) int64 { return max(n, -n) }
