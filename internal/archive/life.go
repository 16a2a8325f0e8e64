// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"elsa/internal/query"
)

// Life draws the life of a group in an hour or less, as the query says, which was
// checked. The archive is read twice, as for a trace: first to choose who is drawn one by
// one, those that used most CPU and those that lived longest, then to add up all others.
func (x *Scanner) Life(q *query.Query) (*query.Life, error) {
	ended := &query.Query{Group: q.Group, Since: q.Since, Until: q.Until.Add(query.LateEnds)}
	m := newMatch(ended)
	m.startedBefore = q.Until.UnixNano()
	l := &query.Life{Since: q.Since.UnixNano(), Until: q.Until.UnixNano(), Through: min(m.until, time.Now().UnixNano()), Owner: x.Owner}
	files, err := Files(x.Dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if l.Oldest == "" || f.Day < l.Oldest {
			l.Oldest = f.Day
		}
	}
	damage, more := x.Damage, 0
	defer func() { x.Damage = damage }()
	x.Damage = func(err error) {
		if len(l.Damage) == query.MaxDamage-1 {
			more++
			return
		}
		l.Damage = append(l.Damage, fmt.Sprintf("%.300s", err))
	}
	c := newChoice()
	if err := x.scan(ended, m, c); err != nil {
		return nil, err
	}
	if more > 0 {
		l.Damage = append(l.Damage, fmt.Sprintf("and %d more", more))
	}
	if c.processes+c.rows == 0 {
		return l, nil
	}
	l.Processes, l.CPU = c.processes, c.cpu
	l.Since, l.Until = max(l.Since, c.first), max(min(l.Until, c.last), max(l.Since, c.first)+1)
	l.Step = (l.Until-l.Since-1)/query.MaxSteps + 1
	drawn, whole := c.draw(l)
	b := c.bands(l, drawn, whole)
	x.Damage = func(error) {}        // told once
	m.until = min(m.until, c.last+1) // who came since is in neither
	if err := x.scan(ended, m, b); err != nil {
		return nil, err
	}
	b.end(l)
	c.list(l)
	return l, nil
}

// choice takes the rows of a life, and keeps those that are the most.
type choice struct {
	byCPU, byLife spans
	top           *top
	sums          *sums
	processes     int64
	rows          int64
	cpu           int64
	first, last   int64
	// parts are lives of which there are parts. There are few.
	parts map[partOf]*parted
}

// partOf is a life, or what of it is told first.
type partOf struct {
	pid     int32
	started int64
}

// parted is a life of several rows: when the last one ends, which stands for all, and
// what they used.
type parted struct{ ended, cpu int64 }

// maxParts bounds the lives of which parts are known. Beyond, a process that changed groups
// can count twice among the living.
const maxParts = 1 << 16

func newChoice() *choice {
	cpu := orderOf(&query.Query{Sort: "cpu"})
	return &choice{
		byCPU: spans{most: query.MaxSpans / 2, order: cpu, commands: map[string]string{}}, byLife: spans{most: query.MaxSpans / 2, commands: map[string]string{}},
		top: newTop(&query.Query{Sort: "cpu", Top: query.MaxCostliest}), sums: newSums(&query.Query{By: []string{"command"}}),
		parts: map[partOf]*parted{},
	}
}

func (c *choice) take(b *batch, found []int32) error {
	for _, s := range []sink{&c.byCPU, &c.byLife, c.top, c.sums} {
		if err := s.take(b, found); err != nil {
			return err
		}
	}
	for _, i := range found {
		started, ended, of := b.ints[Started][i], b.ints[Ended][i], lifeOf(b, i)
		cpu := b.ints[CPUUser][i] + b.ints[CPUSystem][i]
		p := c.parts[of]
		if b.ints[Part][i] == 0 {
			c.processes++
		} else if p == nil && len(c.parts) < maxParts {
			p = &parted{}
			c.parts[of] = p
		}
		if p != nil {
			p.ended = max(p.ended, ended)
			p.cpu += cpu
		}
		if c.rows == 0 || started < c.first {
			c.first = started
		}
		c.last = max(c.last, ended)
		c.rows++
		c.cpu += cpu
	}
	return nil
}

func lifeOf(b *batch, i int32) partOf { return partOf{int32(b.ints[PID][i]), b.ints[Started][i]} }

// row is what tells a row from all others.
type row struct {
	source int32
	seq    uint64
}

// draw chooses the spans of a life: as many as there are rows for. Of a process with
// parts there is one.
func (c *choice) draw(l *query.Life) (map[row]bool, map[partOf]bool) {
	for _, s := range []*spans{&c.byCPU, &c.byLife} {
		slices.SortStableFunc(s.list, func(a, b span) int { return cmp.Compare(b.order, a.order) })
	}
	for n := query.MaxSpans; ; n = max(n/2, query.MaxRows) {
		drawn, whole := map[row]bool{}, map[partOf]bool{}
		var list []span
		for _, of := range []*spans{&c.byCPU, &c.byLife} {
			for _, s := range of.list[:min(n/2, len(of.list))] {
				of := partOf{s.pid, s.started}
				p := c.parts[of]
				if p != nil && (p.ended != s.ended || whole[of]) {
					continue
				}
				if r := (row{s.source, s.seq}); !drawn[r] {
					drawn[r] = true
					if p != nil {
						whole[of] = true
						s.cpuUser, s.cpuSystem = p.cpu, 0
					}
					list = append(list, s)
				}
			}
		}
		p := layOut(list)
		rows, of := p.inRows()
		if rows > query.MaxRows {
			continue
		}
		l.Rows = rows
		for i := range p.spans {
			s := &p.spans[i]
			l.Spans = append(l.Spans, query.Span{Started: s.started, Ended: s.ended, CPU: s.cpuUser + s.cpuSystem, PID: s.pid, Row: of[i], Command: s.command, Part: s.part > 0})
		}
		return drawn, whole
	}
}

// inRows puts each span in a row: a track has one for each span within another.
func (p *picture) inRows() (n int, of []int) {
	of = make([]int, len(p.spans))
	open, deepest := make([][]int64, len(p.tracks)), make([]int, len(p.tracks)) // ends
	for i := range p.spans {
		s := &p.spans[i]
		o := open[s.track]
		for len(o) > 0 && o[len(o)-1] <= s.started {
			o = o[:len(o)-1]
		}
		of[i] = len(o)
		open[s.track] = append(o, s.ended)
		deepest[s.track] = max(deepest[s.track], len(o)+1)
	}
	first := make([]int, len(p.tracks))
	for t := range p.tracks {
		first[t] = n
		n += deepest[t]
	}
	for i := range p.spans {
		of[i] += first[p.spans[i].track]
	}
	return n, of
}

// list writes the lists of a life.
func (c *choice) list(l *query.Life) {
	sums := c.sums.sorted(&query.Query{Sort: "cpu"})
	l.MoreCommands = max(len(sums)-query.MaxCostliest, 0)
	for _, s := range sums[:len(sums)-l.MoreCommands] {
		l.Commands = append(l.Commands, query.Command{Command: s.Key[0], Processes: s.Processes, CPU: s.figures[CPUUser] + s.figures[CPUSystem], Elapsed: s.figures[Elapsed], MaxRSS: s.figures[MaxRSS]})
	}
	for _, t := range c.top.sorted() {
		l.Costliest = append(l.Costliest, query.Process{
			PID: t.PID, User: t.User, Command: t.Command, Started: t.Started, Elapsed: t.Ended - t.Started, CPU: int64(t.CPUUser + t.CPUSystem),
			MaxRSS: int64(t.MaxRSS), Status: t.statusNumber(),
		})
	}
}
