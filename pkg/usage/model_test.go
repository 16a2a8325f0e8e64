// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// figures are the sums that the model follows; the others are handled like them.
type figures struct {
	cpu          time.Duration
	faults, read uint64
}

func (f figures) max(g figures) figures {
	return figures{max(f.cpu, g.cpu), max(f.faults, g.faults), max(f.read, g.read)}
}

func (f figures) less(g figures) figures {
	return figures{max(f.cpu-g.cpu, 0), f.faults - min(f.faults, g.faults), f.read - min(f.read, g.read)}
}

func (f figures) plus(g figures) figures {
	return figures{f.cpu + g.cpu, f.faults + g.faults, f.read + g.read}
}

// mProcess is one process as the model has it: what it used by the largest figure
// that was applied, and how much of that was billed to which sets before.
type mProcess struct {
	life    groups.Life
	known   bool
	used    figures // the largest applied, by samples and records
	base    figures // billed to earlier sets
	earlier map[groups.SetID]figures
	dead    bool
	charged bool
	open    bool // charged, and an exact record may come in time
	grade   precision
	told    bool               // the kernel's final word was applied
	inTime  time.Duration      // what the kernel reported for it, as far as applied
	at      clock.Boot         // when charged
	hour    uint32             // of the last sample
	hours   map[uint32]figures // billed while it lived, by hour of the last sample
	ended   uint32             // hour of its death, when charged
	exits   bool               // its exit status was counted

	line, ts, ex    acct.Record
	lined           bool // it gets a ledger line
	toLine          bool // line, or word that none comes, is to be given
	toTS, toEx      int  // so often the records are yet to be given
	heldTS, heldEx  int  // so often they are held
	tsCame, exCame  clock.Boot
	signal, nonzero bool
}

type model struct {
	*Join
	procs []*mProcess
	now   clock.Boot
	cells map[Cell]*Usage
	prev  []Usage
	done  Settled               // before
	may   map[groups.SetID]bool // these may have fallen in this step

	saved *model // as of the last commit
	disk  disk
}

// disk is what a store keeps.
type disk struct {
	sets     map[groups.SetID]Usage
	accounts map[groups.Key]Account
	deaths   []OpenDeath
	reported time.Duration
	settled  Settled
}

const sets = 5

func drawSet(t *rapid.T, label string) groups.SetID {
	return groups.SetID(rapid.IntRange(0, sets-1).Draw(t, label))
}

// TestModel gives a join the life stories of processes in random pieces, and
// compares every bill with a plain recomputation after each.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{Join: newTestJoin(rapid.Bool().Draw(t, "exact")), now: now, cells: map[Cell]*Usage{}}
		m.disk.sets = map[groups.SetID]Usage{}
		m.listen()
		m.commit(t)
		t.Repeat(map[string]func(*rapid.T){
			"":         m.check,
			"birth":    m.birth,
			"sample":   m.sample,
			"move":     m.move,
			"adopt":    m.adopt,
			"death":    m.death,
			"line":     m.giveLine,
			"line2":    m.giveLine,
			"ts":       m.giveTS,
			"exact":    m.giveExact,
			"step":     m.step,
			"zombie":   m.zombie,
			"merge":    m.merge,
			"commit":   m.commit,
			"crash":    m.crash,
			"reclaim":  m.reclaim,
			"allAgain": func(*rapid.T) { m.TouchAll() },
		})
		m.finish(t)
	})
}

// listen has the history keep books too.
func (m *model) listen() {
	m.Roll = func(c *Cell) *Usage {
		u := m.cells[*c]
		if u == nil {
			u = new(Usage)
			m.cells[*c] = u
		}
		return u
	}
}

func (m *model) some(t *rapid.T, ok func(*mProcess) bool) *mProcess {
	var from []*mProcess
	for _, p := range m.procs {
		if ok(p) {
			from = append(from, p)
		}
	}
	if len(from) == 0 {
		t.SkipNow()
	}
	return from[rapid.IntRange(0, len(from)-1).Draw(t, "process")]
}

func alive(p *mProcess) bool { return !p.dead }

// birth makes a process. A pid is not used again within the seconds that tell
// its lives apart.
func (m *model) birth(t *rapid.T) {
	m.now += clock.Boot(rapid.Int64Range(1, 5000).Draw(t, "pause ms")) * clock.Boot(ms)
	pid := int32(rapid.IntRange(1, 6).Draw(t, "pid"))
	for _, p := range m.procs {
		if p.life.PID == pid && (!p.dead || m.now-p.life.Start.Boot() < 10*sec) {
			t.SkipNow()
		}
	}
	p := &mProcess{life: groups.Life{PID: pid, Start: stamped(m.now), Set: drawSet(t, "set")}, earlier: map[groups.SetID]figures{}, hours: map[uint32]figures{}}
	p.life.Inferred = rapid.IntRange(0, 9).Draw(t, "inferred") == 0
	// Now and then its fork is lost: nothing is known of it but its records.
	p.known = rapid.IntRange(0, 9).Draw(t, "unknown") != 0
	m.procs = append(m.procs, p)
}

func drawFigures(t *rapid.T) figures {
	return figures{
		time.Duration(rapid.IntRange(0, 100).Draw(t, "cpu")) * ms,
		uint64(rapid.IntRange(0, 100).Draw(t, "faults")), uint64(rapid.IntRange(0, 100).Draw(t, "read")),
	}
}

func (f figures) measure(t *rapid.T) Measure {
	user := time.Duration(rapid.Int64Range(0, int64(f.cpu)).Draw(t, "user"))
	return Measure{User: uint64(user), System: uint64(f.cpu - user), MinorFaults: f.faults, ReadBytes: f.read}
}

func (m *model) sample(t *rapid.T) {
	p := m.some(t, func(p *mProcess) bool { return p.known && alive(p) })
	f := drawFigures(t)
	s := f.measure(t)
	m.Sample(p.life.Key(), m.cellOf(t, p, p.life.Set), &s)
	p.closeHour(m.hour())
	p.used = p.used.max(f)
}

func (m *model) hour() uint32 { return HourOf(m.now.Wall(m.Booted).Seconds()) }

// cellOf is where a sample is put in the history. User and command may be others now.
func (m *model) cellOf(t *rapid.T, p *mProcess, set groups.SetID) Cell {
	return Cell{Hour: m.hour(), Set: set, UID: rapid.Uint32Range(0, 1).Draw(t, "uid"), Comm: [16]byte{'a' + byte(rapid.IntRange(0, 1).Draw(t, "command"))}}
}

// closeHour bills what was used until the last sample, if that was in an earlier hour.
func (p *mProcess) closeHour(hour uint32) {
	if p.hour < hour {
		p.split()
	}
	p.hour = hour
}

// endHour is the hour of a death, as the records say that it comes with.
func (m *model) endHour(p *mProcess) uint32 {
	end := p.life.Exit.Wall(m.Booted).Seconds()
	r := &p.ex
	if p.lined {
		r = &p.line
	} else if p.heldTS > 0 {
		r = &p.ts
	}
	if r.Begin > 0 {
		end = min(end, r.Begin+int64(r.Elapsed/sec))
	}
	return HourOf(end)
}

func (m *model) move(t *rapid.T) {
	p := m.some(t, func(p *mProcess) bool { return p.known && alive(p) })
	whole := rapid.Bool().Draw(t, "whole")
	c := groups.Change{Life: p.life, From: p.life.Set, To: drawSet(t, "to")}
	if c.From == c.To {
		t.SkipNow()
	}
	m.Move(c, whole)
	if whole {
		m.may[c.From] = true
	} else {
		p.split()
	}
	p.life.Set = c.To
}

// split leaves what was used with the set.
func (p *mProcess) split() {
	part := p.used.less(p.base)
	p.earlier[p.life.Set], p.hours[p.hour] = p.earlier[p.life.Set].plus(part), p.hours[p.hour].plus(part)
	p.base = p.used
}

// adopt lets the tracker find a process in another set, without a move.
func (m *model) adopt(t *rapid.T) {
	p := m.some(t, func(p *mProcess) bool { return p.known && alive(p) })
	to := drawSet(t, "to")
	if to == p.life.Set {
		t.SkipNow()
	}
	p.split()
	p.life.Set = to
	m.Sample(p.life.Key(), m.cellOf(t, p, to), &Measure{})
	p.hour = m.hour()
}

// death ends a process. Its records agree as the kernel's do: the line rounds
// down, taskstats is sampled, and its Runtime is never more than the truth.
func (m *model) death(t *rapid.T) {
	p := m.some(t, alive)
	m.now += clock.Boot(ms)
	p.dead = true
	p.life.Exit = m.now
	begin := p.life.Start.Boot().Wall(m.Booted).Seconds()
	exit := rapid.SampledFrom([]uint32{0, 9, 0x100}).Draw(t, "exit")
	p.signal, p.nonzero = exit == 9, exit == 0x100
	truth, ticks := drawFigures(t), drawFigures(t)
	ticks.faults, ticks.read = truth.faults/2, truth.read/2
	rec := func(source acct.Source, f figures) acct.Record {
		mm := f.measure(t)
		return acct.Record{Source: source, Whole: true, PID: p.life.PID, ExitCode: exit, Elapsed: m.now.Sub(p.life.Start.Boot()),
			User: time.Duration(mm[User]), System: time.Duration(mm[System]), CPU: f.cpu, MinorFaults: f.faults, ReadBytes: f.read, UID: 3}
	}
	p.ex = rec(acct.Exact, truth)
	p.ex.Start = int64(p.life.Start.Boot()) - int64(rapid.IntRange(0, 40).Draw(t, "lag"))*int64(ms)
	p.ts = rec(acct.Taskstats, ticks)
	p.ts.Begin = begin + int64(rapid.IntRange(-1, 1).Draw(t, "jitter"))
	p.ts.Runtime = min(truth.cpu, time.Duration(rapid.IntRange(0, 100).Draw(t, "runtime"))*ms)
	p.line = rec(acct.BSD, figures{ticks.cpu / (10 * ms) * 10 * ms, ticks.faults, 0})
	p.line.Begin = begin
	p.toLine, p.lined = true, rapid.IntRange(0, 9).Draw(t, "lined") != 0 || !p.known
	p.toTS = rapid.SampledFrom([]int{0, 1, 1, 1, 2}).Draw(t, "taskstats")
	p.toEx = rapid.SampledFrom([]int{0, 1, 1, 1, 2}).Draw(t, "exact")
}

func of(r *acct.Record) figures { return figures{r.CPU, r.MinorFaults, r.ReadBytes} }

// giveLine charges a death.
func (m *model) giveLine(t *rapid.T) {
	p := m.some(t, func(p *mProcess) bool { return p.toLine })
	p.toLine = false
	p.ended = m.endHour(p)
	p.closeHour(max(p.hour, p.ended))
	if p.lined {
		m.Line(&p.line, p.life, p.known, m.now)
		if rapid.IntRange(0, 4).Draw(t, "again") == 0 && p.known {
			again := p.life
			again.Recorded = true
			m.Line(&p.line, again, true, m.now)
		}
	} else {
		m.Unledgered(p.life, m.now)
	}
	p.charged, p.at = true, m.now
	if p.heldTS > 0 {
		p.heldTS--
		p.grade = sampled
	}
	switch {
	case p.heldEx > 0:
		p.heldEx--
		p.apply(exact, of(&p.ex))
	case m.ExpectExact:
		p.open = true
		if p.grade == sampled {
			p.applyFloor()
		}
	default:
		p.apply(p.grade, p.estimate())
	}
	p.exits = p.lined || p.grade > rounded
}

// apply takes a figure into account. The last one is the best.
// What is billed is exact only where it is not more.
func (p *mProcess) apply(grade precision, f figures) {
	p.used = p.used.max(f)
	if p.told = p.told || grade == exact; p.told && p.used.cpu > f.cpu {
		grade = min(p.grade, sampled)
		if !p.open { // charged with it
			grade = sampled
		}
	}
	p.grade, p.inTime = grade, f.cpu
}

func (p *mProcess) applyFloor() {
	floor := of(&p.ts)
	floor.cpu = p.ts.Runtime
	p.apply(sampled, floor)
}

func (p *mProcess) estimate() figures {
	switch {
	case p.grade == sampled:
		f := of(&p.ts)
		if run := p.ts.Runtime; run >= 10*ms && f.cpu < run {
			f.cpu = run
		} else if run >= 10*ms && f.cpu > run+4*ms {
			f.cpu = run + 4*ms
		}
		return f
	case p.lined:
		return of(&p.line)
	}
	return figures{}
}

// tsDue reports whether a taskstats record of p may still come: it is sent when
// the process ends.
func (m *model) tsDue(p *mProcess) bool { return p.toTS > 0 && m.now-p.life.Exit < 2*sec }

func (m *model) giveTS(t *rapid.T) {
	p := m.some(t, m.tsDue)
	m.Precise(&p.ts, m.now)
	p.toTS--
	p.heldTS++
	p.tsCame = m.now
}

func (m *model) giveExact(t *rapid.T) {
	p := m.some(t, func(p *mProcess) bool { return p.toEx > 0 })
	m.Precise(&p.ex, m.now)
	p.toEx--
	if p.open {
		p.apply(exact, of(&p.ex))
		p.open, p.exits = false, true
		return
	}
	p.heldEx++
	p.exCame = m.now
}

// zombie finds one that was not waited for.
func (m *model) zombie(t *rapid.T) {
	p := m.some(t, func(p *mProcess) bool { return p.open && p.at > -1 && p.known })
	standing(m.Join, m.now, p.life.Key(), p.ex.CPU)
	f := p.estimate()
	f.cpu = p.ex.CPU
	p.apply(exact, f)
	p.at = -1 - p.at
}

func (m *model) step(t *rapid.T) {
	m.now += clock.Boot(rapid.SampledFrom([]int{1, 500, 3000, 11000, 700000, 3600000, 3600000}).Draw(t, "pause ms")) * clock.Boot(ms)
	m.Step(m.now, giveUp)
	m.settle()
}

func (m *model) settle() {
	for _, p := range m.procs {
		if p.open && p.at > -1 && m.now.Sub(p.at) >= m.Patience {
			if p.grade == rounded && p.heldTS > 0 {
				p.heldTS--
				p.exits = true
				p.applyFloor()
			}
			p.apply(p.grade, p.estimate())
			p.at = -1 - p.at // settled; it can still be corrected
		}
		if p.open && p.at < 0 && m.now.Sub(-1-p.at) > m.OpenFor {
			p.open = false
		}
		old := m.now.Add(-m.Patience - orphanAge)
		if p.tsCame < old {
			p.heldTS = 0
		}
		if p.exCame < old {
			p.heldEx = 0
		}
	}
}

// merge is the deletion of a group.
func (m *model) merge(t *rapid.T) {
	from, to := drawSet(t, "from"), drawSet(t, "to")
	if from == to {
		t.SkipNow()
	}
	const former = sets - 1
	if from <= groups.Unattributed || from == former {
		t.SkipNow() // none of these is ever dropped
	}
	var before time.Duration
	for set := groups.SetID(1); set < sets; set++ {
		u := m.Total(set)
		before += u.CPU()
	}
	m.Merge(map[groups.SetID]groups.SetID{from: to}, former)
	m.may[from] = true
	bill := to
	if to == groups.Ungrouped {
		bill = former
	}
	for _, p := range m.procs {
		switch {
		case p.life.Set != from:
		case to == groups.Ungrouped && !p.charged:
			// Its group is gone: what it used is on the former groups' bill. In any
			// other set it stays a live process's, which a whole move may take along.
			if p.known {
				p.split()
			}
			p.life.Set = to
		default:
			p.life.Set = bill
		}
		if f, ok := p.earlier[from]; ok {
			p.earlier[bill] = p.earlier[bill].plus(f)
			delete(p.earlier, from)
		}
	}
	for set := groups.SetID(1); set < sets; set++ {
		u := m.Total(set)
		before -= u.CPU()
	}
	if before > 0 {
		t.Fatalf("all groups together lost %v by a merge", before)
	}
}

// clone copies the model, not the join.
func (m *model) clone() *model {
	c := &model{now: m.now, cells: map[Cell]*Usage{}, prev: slices.Clone(m.prev)}
	for _, p := range m.procs {
		q := *p
		q.earlier, q.hours = maps.Clone(p.earlier), maps.Clone(p.hours)
		c.procs = append(c.procs, &q)
	}
	for k, u := range m.cells {
		v := *u
		c.cells[k] = &v
	}
	return c
}

// commit stores what must survive, and remembers what the model was then.
func (m *model) commit(*rapid.T) {
	m.TakeChanged(func(id groups.SetID, u *Usage) { m.disk.sets[id] = *u })
	m.disk.accounts = map[groups.Key]Account{}
	for _, p := range m.procs {
		if a, ok := m.Account(p.life.Key()); ok {
			m.disk.accounts[p.life.Key()] = a
		}
	}
	m.disk.deaths = nil
	m.OpenDeaths(func(d OpenDeath) { m.disk.deaths = append(m.disk.deaths, d) })
	m.disk.reported, m.disk.settled = m.Reported, m.Settled
	m.saved = m.clone()
}

// reclaim commits and forgets the sets that no bill, no death and no process names.
// What was drawn before may come again: it is another set with the same id.
func (m *model) reclaim(t *rapid.T) {
	m.commit(t)
	var used groups.InUse
	for _, p := range m.procs {
		if !p.charged {
			used.Mark(p.life.Set)
		}
	}
	m.MarkSets(&used)
	n := groups.SetID(sets)
	for n > 2 && !used.Has(n-1) {
		n--
	}
	m.Reclaim(&used, int(n))
	for set := range groups.SetID(sets) {
		if u := m.Total(set); !used.Has(set) && u != (Usage{}) {
			t.Fatalf("set %d was forgotten and has %+v", set, u)
		}
	}
}

// crash goes back to the last commit. Lines are read again from there; what is
// sent only once is lost, and deaths that waited are settled.
func (m *model) crash(t *rapid.T) {
	when := m.now
	back, expect := m.saved.clone(), m.ExpectExact
	for i, p := range back.procs {
		p.heldTS, p.heldEx = 0, 0
		p.toTS, p.toEx = m.procs[i].toTS, m.procs[i].toEx
		if p.toLine && !m.procs[i].dead {
			t.Fatal("the model came back from death")
		}
		if !p.dead && m.procs[i].dead { // it died meanwhile, for good
			life := p.life
			*p = mProcess{life: life, known: p.known, used: p.used, base: p.base, hour: p.hour, earlier: p.earlier, hours: p.hours, dead: true,
				line: m.procs[i].line, ts: m.procs[i].ts, ex: m.procs[i].ex, lined: m.procs[i].lined, toLine: true,
				toTS: m.procs[i].toTS, toEx: m.procs[i].toEx, signal: m.procs[i].signal, nonzero: m.procs[i].nonzero}
			p.life.Exit = m.procs[i].life.Exit
		}
		if p.open && p.at >= 0 {
			p.at = 0
		} else {
			p.open = false // settled: not stored
		}
	}
	for _, p := range m.procs[len(back.procs):] { // born since: it is known again by /proc or its line
		p.used, p.base, p.earlier = figures{}, figures{}, map[groups.SetID]figures{}
		p.hour, p.hours = 0, map[uint32]figures{}
		p.charged, p.open, p.grade, p.told, p.inTime, p.exits = false, false, rounded, false, 0, false
		p.heldTS, p.heldEx, p.toLine = 0, 0, p.dead
		back.procs = append(back.procs, p)
	}
	m.procs, m.cells, m.prev, m.now = back.procs, back.cells, back.prev, when
	m.Join = newTestJoin(expect)
	m.listen()
	m.Reported, m.Settled, m.done = m.disk.reported, m.disk.settled, m.disk.settled
	for id, u := range m.disk.sets {
		m.RestoreSet(id, u)
	}
	for _, p := range m.procs {
		if a, ok := m.disk.accounts[p.life.Key()]; ok {
			m.RestoreAccount(p.life.Key(), p.life.Set, a)
		}
	}
	for _, d := range m.disk.deaths {
		m.RestoreDeath(d, 0)
	}
}

func (m *model) check(t *rapid.T) {
	var want [sets]struct {
		figures
		ended, inferred, signal, nonzero uint64
		grades                           [3]uint64
	}
	var reported, excess, live time.Duration
	for _, p := range m.procs {
		for set, f := range p.earlier {
			want[set].figures = want[set].plus(f)
		}
		w := &want[p.life.Set]
		if p.known || p.charged {
			w.figures = w.plus(p.used.less(p.base))
		}
		if !p.charged {
			live += p.used.cpu
			continue
		}
		w.ended++
		w.grades[p.grade]++
		if p.life.Inferred {
			w.inferred++
		}
		if p.exits && p.signal {
			w.signal++
		}
		if p.exits && p.nonzero {
			w.nonzero++
		}
		best := p.inTime
		if !p.told { // what a sample showed is the best word there is
			best = max(best, p.used.cpu)
		}
		reported += best
		excess += p.used.cpu - best
	}
	var bills time.Duration
	for set := range groups.SetID(sets) {
		u, w := m.Total(set), want[set]
		if got := (figures{u.CPU(), u[MinorFaults], u[ReadBytes]}); got != w.figures {
			t.Fatalf("set %d: %+v, want %+v", set, got, w.figures)
		}
		if u[Ended] != w.ended || u[Inferred] != w.inferred || u[ExitSignal] != w.signal || u[ExitNonzero] != w.nonzero {
			t.Fatalf("set %d: %+v, want %+v", set, u, w)
		}
		if got := [3]uint64{u[Rounded], u[Sampled], u[Exact]}; got != w.grades {
			t.Fatalf("set %d: rounded, sampled, exact %v, want %v", set, got, w.grades)
		}
		bills += u.CPU()
		m.checkRising(t, set, u)
	}
	m.may = map[groups.SetID]bool{}
	if m.Reported != reported {
		t.Fatalf("reported %v, want %v", m.Reported, reported)
	}
	if bills-live != reported+excess {
		t.Fatalf("bills %v less the living's %v, want %v and an excess of %v", bills, live, reported, excess)
	}
	if got := time.Duration(m.Conservation(0) * float64(m.Reported)); m.Reported > 0 && (got-reported-excess).Abs() > time.Microsecond {
		t.Fatalf("Conservation() finds %v, want %v", got, reported+excess)
	}
	m.checkCells(t)
	m.checkHours(t)
	if s := m.Settled; s.Exact < m.done.Exact || s.Sampled < m.done.Sampled || s.Rounded < m.done.Rounded {
		t.Fatalf("settled deaths fell from %+v to %+v", m.done, s)
	}
	m.done = m.Settled
}

// checkRising fails when anything that is counted fell. Only precision may go
// from one count to the other.
func (m *model) checkRising(t *rapid.T, set groups.SetID, u Usage) {
	for int(set) >= len(m.prev) {
		m.prev = append(m.prev, Usage{})
	}
	for f, was := range m.prev[set] {
		switch Field(f) {
		case Exact, Sampled, Rounded:
			continue
		}
		if u[f] < was && !m.may[set] {
			t.Fatalf("set %d: %s fell from %v to %v", set, table[f].Name, was, u[f])
		}
	}
	m.prev[set] = u
}

// checkHours compares the hours of the history with what was used until the samples and
// deaths in them.
func (m *model) checkHours(t *rapid.T) {
	want, got := map[uint32]figures{}, map[uint32]figures{}
	for _, p := range m.procs {
		for h, f := range p.hours {
			want[h] = want[h].plus(f)
		}
		if p.charged {
			want[p.ended] = want[p.ended].plus(p.used.less(p.base))
		}
	}
	for c, u := range m.cells {
		got[c.Hour] = got[c.Hour].plus(figures{u.CPU(), u[MinorFaults], u[ReadBytes]})
	}
	for h := range got {
		if got[h] != want[h] {
			t.Fatalf("hour %d has %+v, want %+v", h, got[h], want[h])
		}
	}
}

// checkCells compares the history with the bills: with what is live by its cells, it
// must have all that is on them.
func (m *model) checkCells(t *rapid.T) {
	var inCells, inSets Usage
	for _, u := range m.cells {
		inCells.Add(u)
	}
	for set := range groups.SetID(sets) {
		u := m.at(set)
		inSets.Add(&u)
	}
	inSets[MaxRSS], inCells[MaxRSS] = 0, 0
	if inCells != inSets {
		t.Fatalf("history has %+v\nbills have   %+v", inCells, inSets)
	}
	var live [sets]Measure
	m.Living(func(c *Cell, part *Measure) { live[c.Set].add(part) })
	for set := range groups.SetID(sets) {
		want, got := *m.liveIn(set), live[set]
		want.dropPeaks()
		if got.dropPeaks(); got != want {
			t.Fatalf("set %d: the cells of what is live have %+v\nand its bill %+v", set, got, want)
		}
	}
}

// finish ends all, gives all records and lets all time pass: nothing may be left,
// and every death was counted once.
func (m *model) finish(t *rapid.T) {
	some := func(what func(*rapid.T), ok func(*mProcess) bool) {
		for slices.ContainsFunc(m.procs, ok) {
			what(t)
			m.check(t)
		}
	}
	some(m.death, alive)
	some(m.giveTS, m.tsDue)
	some(m.giveLine, func(p *mProcess) bool { return p.toLine })
	some(m.giveExact, func(p *mProcess) bool { return p.toEx > 0 })
	for range 3 {
		m.now += clock.Boot(time.Hour)
		m.Step(m.now, giveUp)
		m.settle()
	}
	m.check(t)
	ended := uint64(0)
	for set := range groups.SetID(sets) {
		ended += m.Total(set)[Ended]
	}
	if ended != uint64(len(m.procs)) {
		t.Fatalf("%d deaths were counted, want %d", ended, len(m.procs))
	}
	if n := m.Settled.Exact + m.Settled.Sampled + m.Settled.Rounded; n != ended {
		t.Fatalf("%d deaths were settled, want %d", n, ended)
	}
	checkEmpty(t, m.Join)
}
