// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"time"

	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// precision of a death's CPU, worst first.
type precision uint8

const (
	rounded precision = iota
	sampled
	exact
)

// death is one that was charged and may be corrected.
type death struct {
	key      groups.Key
	set      groups.SetID
	begin    int64      // s since the epoch, as taskstats tell it
	at       clock.Boot // when it was charged
	base     Measure
	charged  Measure
	estimate Measure // the best without an exact record
	reported time.Duration
	grade    precision
	cell     Cell
	lined    bool // it has a ledger line
	exited   bool // its exit status was counted
	status   uint32
	seq      uint64 // of its row; 0: it has none
	final    bool   // Patience is over
	looked   bool   // its process was looked at; see Look
	told     bool   // the kernel's final word came
	standing bool   // that word is its CPU clock, since nobody waited for it
	next     *death
}

// charge puts a death on the bill of its set, with the records that are there. d
// says when it was told and when it began; line may be nil.
func (j *Join) charge(life *groups.Life, d *death, line *acct.Record) {
	d.key, d.set, d.lined = life.Key(), life.Set, line != nil
	var last Measure
	acc := j.accounts[d.key]
	if acc != nil {
		if acc.cell.Set != d.set {
			j.split(d.key, life.PPID, acc, d.set)
		}
		d.base, last = acc.base, acc.last
	}
	exit := clock.Boot(0)
	if line != nil {
		d.estimate = measureOf(line)
		if acc != nil && d.midLife() {
			d.estimate[MaxRSS] = max(d.estimate[MaxRSS], acc.peak)
		}
	} else if exit = life.Exit; exit > life.Start.Boot() {
		d.estimate[Elapsed] = uint64(exit.Sub(life.Start.Boot()))
	}
	if j.Program != nil {
		if p, known := j.Program(d.key); known {
			d.estimate[MaxRSS] = max(d.estimate[MaxRSS], p.Peak)
		}
	}
	ts := j.taskstats(d, exit)
	if ts != nil {
		j.refine(d, ts)
		d.grade = sampled
	}
	ex := j.exact(d)
	d.cell = j.cellOf(life, d.at, line, ts, ex)
	if acc != nil && acc.cell.Hour < d.cell.Hour && j.closeHour(d.key, life.PPID, acc) {
		d.base = acc.base
	}
	best := d.estimate
	wait := false
	switch {
	case ex != nil:
		best, d.grade, d.told = d.perfect(ex), exact, true
	case j.ExpectExact && (j.opened < maxOpen || !j.old(line, d.at)):
		wait = true
		best = d.floor(ts)
	}
	kernel := best.CPU()
	best.raise(&last)
	d.charged = best.beyond(&d.base)
	if d.grade == exact && best.CPU() > kernel {
		d.grade = sampled // a sample says more, and is billed
	}
	j.report(d, kernel)

	if acc != nil {
		j.dropAccount(d.key, acc)
	}
	u := Usage{Ended: 1}
	if life.Inferred || life.Unproven {
		u[Inferred]++
	}
	u.count(d.grade, +1)
	u.AddMeasure(&d.charged)
	for _, r := range [...]*acct.Record{line, ex, ts} {
		d.exit(&u, r)
	}
	j.emit(life, d, d.at, line, ts, ex)
	j.bill(d.set, &d.cell, &u)
	if !wait {
		j.countJoined(d)
		j.release(d)
		return
	}
	j.wait(d)
}

// old reports whether a line is of a death some time ago: one of a backlog, whose
// exact record has passed unless it is a zombie.
func (j *Join) old(line *acct.Record, now clock.Boot) bool {
	return line != nil && line.Begin != 0 && line.Begin+int64((line.Elapsed+j.Patience)/time.Second)+2 < now.Wall(j.Booted).Seconds()
}

// wait keeps a death open for its exact record.
func (j *Join) wait(d *death) {
	d.next = j.open[d.key.PID]
	j.open[d.key.PID] = d
	j.opened++
}

// unwait takes a death out of those that are open.
func (j *Join) unwait(d *death) {
	j.opened--
	pid := d.key.PID
	if first := j.open[pid]; first != d {
		for first.next != d {
			first = first.next
		}
		first.next = d.next
	} else if d.next != nil {
		j.open[pid] = d.next
	} else {
		delete(j.open, pid)
	}
}

// floor is the part of the estimate that cannot be too much, though its ticks
// may be: of the CPU the runtime without its last slice.
func (d *death) floor(ts *acct.Record) Measure {
	if ts == nil {
		return Measure{Elapsed: d.estimate[Elapsed]}
	}
	m := d.estimate
	m.setCPU(ts.Runtime)
	return m
}

// refine takes the taskstats record of a death: it knows all that its line does,
// and more finely. Only the life time of a line is that of the whole process.
func (j *Join) refine(d *death, ts *acct.Record) {
	m := measureOf(ts)
	m.setCPU(j.sampledCPU(ts))
	m[Elapsed] = max(m[Elapsed], d.estimate[Elapsed])
	if d.midLife() {
		m[MaxRSS] = ts.ImageRSS
	}
	d.estimate = m
}

// sampledCPU estimates a process's CPU from its taskstats record. User and system
// time are the ticks that found it running: right on average, and off by some
// ticks for each process. The runtime lacks what ran since the last tick: never
// too high. A process of some ticks is between the runtime and a tick more; for
// a shorter one the bounds say little, and holding to them would add up to a
// bias, so there the ticks stand.
func (j *Join) sampledCPU(ts *acct.Record) time.Duration {
	ticks := ts.User + ts.System
	if ts.Runtime < 10*time.Millisecond {
		return ticks
	}
	return min(max(ticks, ts.Runtime), ts.Runtime+j.Tick)
}

// perfect is what a death used when its exact record is known. Its CPU is the
// record's; what the record lacks of the rest, where samples of threads were
// lost, is taken from the estimate, and so is the peak of memory: at exec the kernel
// takes that of the memory before for the process's own (exec_mmap of fs/exec.c), which
// is the parent's or a copy of it. What a program held that the process executed before
// its last is in its samples.
func (d *death) perfect(ex *acct.Record) Measure {
	m := measureOf(ex)
	rest := Measure{Elapsed: d.estimate[Elapsed]}
	if d.grade == sampled {
		rest = d.estimate
		rest[User], rest[System] = 0, 0
	}
	if d.estimate[MaxRSS] > 0 {
		m[MaxRSS] = d.estimate[MaxRSS] // the record's begins with the peak of who forked it
	}
	m.raise(&rest)
	return m
}

// midLife reports whether a process came into its set when it had used memory.
// The peak that a record tells is that of all programs that the process executed;
// taskstats has the last one's too, and samples were taken since.
func (d *death) midLife() bool { return d.base[MaxRSS] > 0 }

// exit counts in u how a process ended, by the first record that knows.
func (d *death) exit(u *Usage, r *acct.Record) {
	if r == nil || d.exited {
		return
	}
	d.exited, d.status = true, r.ExitCode
	if r.ExitCode&0x7f != 0 {
		u[ExitSignal]++
	} else if r.ExitCode>>8&0xff != 0 {
		u[ExitNonzero]++
	}
}

// lift raises what was charged for a death to m, of the given precision. r is
// the record that tells, or nil.
func (j *Join) lift(d *death, m *Measure, grade precision, r *acct.Record) {
	more := m.beyond(&d.base)
	more = more.beyond(&d.charged)
	d.charged.add(&more)
	was := d.grade
	if d.told = d.told || grade == exact; d.told && d.base.CPU()+d.charged.CPU() > m.CPU() {
		grade = min(was, sampled) // more was billed than is exact
	}
	d.grade = grade
	j.report(d, m.CPU())
	var u Usage
	u.AddMeasure(&more)
	u.count(was, -1)
	u.count(grade, +1)
	d.exit(&u, r)
	j.bill(d.set, &d.cell, &u)
	j.fix(d)
}

// report takes the CPU that the kernel reported of a death, of its grade. Without
// an exact record the kernel's best word is the most that it said in any way: by
// ticks, by the runtime up to the last switch, by a sample while the process lived.
// All of that was charged.
func (j *Join) report(d *death, cpu time.Duration) {
	if !d.told {
		cpu = max(cpu, d.base.CPU()+d.charged.CPU())
	}
	j.Reported += cpu - d.reported
	d.reported = cpu
}

// countJoined counts a death by the best record it got.
func (j *Join) countJoined(d *death) {
	if !d.told {
		j.lost.found(d.base.CPU() + d.charged.CPU())
	}
	switch d.grade {
	case exact:
		j.Settled.Exact++
	case sampled:
		j.Settled.Sampled++
	default:
		j.Settled.Rounded++
	}
	switch {
	case d.grade == exact:
		j.Joined.Exact++
	case d.grade == sampled:
		j.Joined.Taskstats++
	case d.lined:
		j.Joined.Ledger++
	}
}

func (u *Usage) count(p precision, n int64) {
	switch p {
	case exact:
		u[Exact] += uint64(n)
	case sampled:
		u[Sampled] += uint64(n)
	default:
		u[Rounded] += uint64(n)
	}
}

func (j *Join) newDeath() *death {
	if n := len(j.idle); n > 0 {
		d := j.idle[n-1]
		j.idle = j.idle[:n-1]
		return d
	}
	return new(death)
}

func (j *Join) release(d *death) {
	if len(j.idle) < maxIdle {
		*d = death{}
		j.idle = append(j.idle, d)
	}
}
