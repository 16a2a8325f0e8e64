// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bufio"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"elsa/internal/escape"
	"elsa/internal/query"
)

// A trace is in the Trace Event Format, which Perfetto and chrome://tracing open. A
// process of the format is a family, a thread of it a track. The archive is read twice:
// first what is needed to place the processes, then what they used, which is written as it
// comes.

// maxTrace bounds the rows that are drawn: some 100 bytes are kept of each, and while they
// are chosen of twice as many.
const maxTrace = 1 << 16

// spans takes the rows that are the most: by the order of the query, or those that lived
// longest.
type spans struct {
	most     int
	order    [][2]Column
	list     []span
	sources  []string
	commands map[string]string
	rows     int // taken
	cpu      int64
}

func (s *spans) take(b *batch, found []int32) error {
	if err := b.need(Source, Seq, Part, PID, PPID, Started, Ended, Elapsed, ParentStarted, Command, CPUUser, CPUSystem); err != nil {
		return err
	}
	if s.order != nil {
		if err := b.need(s.order[0][:]...); err != nil {
			return err
		}
	}
	for _, i := range found {
		n := func(c Column) int64 { return b.ints[c][i] }
		x := span{
			started: n(Started), ended: n(Ended), parentStarted: n(ParentStarted), cpuUser: n(CPUUser), cpuSystem: n(CPUSystem),
			seq: uint64(n(Seq)), pid: int32(n(PID)), ppid: int32(n(PPID)), part: uint32(n(Part)), source: s.sourceOf(b.str(Source, i)),
		}
		if x.started > x.ended { // the clock was set back meanwhile
			x.started = x.ended - max(n(Elapsed), 0)
		}
		x.command = s.commandOf(b.str(Command, i))
		x.order = x.ended - x.started
		if s.order != nil {
			x.order = n(s.order[0][0])
			if c := s.order[0][1]; c != Inferred {
				x.order += n(c)
			}
		}
		s.rows++
		s.cpu += x.cpuUser + x.cpuSystem
		if s.list = append(s.list, x); len(s.list) == 2*s.most {
			s.cut()
		}
	}
	return nil
}

// cut leaves those that are the most.
func (s *spans) cut() {
	if len(s.list) > s.most {
		slices.SortStableFunc(s.list, func(a, b span) int { return cmp.Compare(b.order, a.order) })
		s.list = s.list[:s.most]
	}
}

func (s *spans) sourceOf(text string) int32 {
	i := slices.Index(s.sources, text)
	if i < 0 {
		i = len(s.sources)
		s.sources = append(s.sources, text)
	}
	return int32(i)
}

func (s *spans) commandOf(text string) string {
	if c, ok := s.commands[text]; ok {
		return c
	}
	if len(s.commands) < maxTrace { // else the text of its batch is kept
		s.commands[text] = text
	}
	return text
}

// runTrace writes a trace of the rows that match.
func (x *Scanner) runTrace(q *query.Query, m *match, w *bufio.Writer) error {
	s := &spans{most: cmp.Or(q.Top, maxTrace), order: orderOf(q), commands: map[string]string{}}
	s.most = min(s.most, maxTrace)
	if err := x.scan(q, m, s); err != nil {
		return err
	}
	s.cut()
	d := newDrawing(layOut(s.list), s, w)
	d.names()
	damage := x.Damage
	x.Damage = func(error) {} // told once
	defer func() { x.Damage = damage }()
	if err := x.scan(q, m, d); err != nil {
		return err
	}
	d.counters()
	d.end()
	return d.err
}

// drawing writes the events of a picture.
type drawing struct {
	*picture
	*spans
	w     *bufio.Writer
	b     []byte
	err   error
	first int64   // the start of the trace, in ns since 1970
	index []int32 // of spans by source and seq
	drawn int
	drew  int64 // CPU
	rec   taken
	some  bool // an event was written
}

func newDrawing(p *picture, s *spans, w *bufio.Writer) *drawing {
	d := &drawing{picture: p, spans: s, w: w, index: make([]int32, len(p.spans))}
	if len(p.spans) > 0 {
		d.first = p.spans[0].started
	}
	for i := range d.index {
		d.index[i] = int32(i)
	}
	slices.SortFunc(d.index, func(i, k int32) int {
		a, b := &p.spans[i], &p.spans[k]
		return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.seq, b.seq))
	})
	d.write(`{"displayTimeUnit":"ms","traceEvents":[`)
	return d
}

// find is the span of a row, or nil: it was cut, or came since.
func (d *drawing) find(source string, seq uint64) *span {
	from := int32(slices.Index(d.sources, source))
	at, ok := slices.BinarySearchFunc(d.index, seq, func(i int32, seq uint64) int {
		s := &d.picture.spans[i]
		return cmp.Or(cmp.Compare(s.source, from), cmp.Compare(s.seq, seq))
	})
	if !ok {
		return nil
	}
	return &d.picture.spans[d.index[at]]
}

// told are the columns that a slice has as arguments.
var told = func() (cs []Column) {
	for c := range columns {
		switch c {
		case Source, SegmentNumber, Seq, Host, Boot, Command:
		default:
			cs = append(cs, c)
		}
	}
	return cs
}()

// take writes the slices of the rows that are drawn.
func (d *drawing) take(b *batch, found []int32) error {
	if err := b.need(Source, Seq); err != nil {
		return err
	}
	for _, i := range found {
		s := d.find(b.str(Source, i), uint64(b.ints[Seq][i]))
		if s == nil {
			continue
		}
		if err := b.need(everything...); err != nil {
			return err
		}
		b.record(i, &d.rec)
		kind := "process"
		if s.part > 0 {
			kind = "part"
		}
		d.event("X", s.family+2, s.track+1, s.started)
		d.b = append(d.b, `,"dur":`...)
		d.b = appendMicros(d.b, s.ended-s.started)
		d.b = append(d.b, `,"cat":"`+kind+`","name":`...)
		d.b = appendString(d.b, cmp.Or(escape.Text(s.command), "?"))
		d.b = append(d.b, `,"args":`...)
		d.b = append(d.rec.appendObject(d.b, told), '}')
		d.flush()
		d.drawn++
		d.drew += s.cpuUser + s.cpuSystem
		if d.err != nil {
			return &sinkError{d.err}
		}
	}
	return nil
}

// all is the process of the format that has the counters.
const all = 1

// names writes the names of families and tracks.
func (d *drawing) names() {
	name := func(what string, pid, tid int32, text string, order int) {
		d.event("M", pid, tid, d.first)
		d.b = append(d.b, `,"name":"`+what+`_name","args":{"name":`...)
		d.b = append(appendString(d.b, text), "}}"...)
		d.flush()
		d.event("M", pid, tid, d.first)
		d.b = append(d.b, `,"name":"`+what+`_sort_index","args":{"sort_index":`...)
		d.b = append(strconv.AppendInt(d.b, int64(order), 10), "}}"...)
		d.flush()
	}
	text := "all processes"
	if n := d.rows - len(d.picture.spans); n > 0 {
		text = fmt.Sprintf("%d of %d processes; %d are left out", len(d.picture.spans), d.rows, n)
	}
	name("process", all, 0, text, 0)
	for i, f := range d.families {
		root := &d.picture.spans[f.root]
		text := root.title()
		if f.roots > 1 {
			text = fmt.Sprintf("%d of process %d", f.roots, root.ppid)
			if root.ppid == 0 {
				text = fmt.Sprintf("%d of parents that are not known", f.roots)
			}
		}
		name("process", int32(i)+2, 0, text, i+1)
	}
	for i, t := range d.tracks {
		name("thread", t.family+2, int32(i)+1, d.picture.spans[t.first].title(), i+1)
	}
}

func (s *span) title() string {
	return fmt.Sprintf("%s %d", cmp.Or(escape.Text(s.command), "?"), s.pid)
}

// counters writes how many processes lived, and how many CPUs they used.
func (d *drawing) counters() {
	n := 0
	for _, e := range d.live() {
		n += e.more
		d.event("C", all, 0, e.at)
		d.b = append(d.b, `,"name":"live processes","args":{"processes":`...)
		d.b = append(strconv.AppendInt(d.b, int64(n), 10), "}}"...)
		d.flush()
	}
	step, user, system := d.picture.cpu()
	last := [2]int64{-1, -1}
	for i := range len(user) + 1 {
		now := [2]int64{} // after the last step
		if i < len(user) {
			now = [2]int64{user[i], system[i]}
		}
		if now == last || len(user) == 0 {
			continue
		}
		last = now
		d.event("C", all, 0, d.first+int64(i)*step)
		d.b = append(d.b, `,"name":"CPUs","args":{"user":`...)
		d.b = strconv.AppendFloat(d.b, float64(now[0])/float64(step), 'f', 6, 64)
		d.b = append(d.b, `,"system":`...)
		d.b = strconv.AppendFloat(d.b, float64(now[1])/float64(step), 'f', 6, 64)
		d.b = append(d.b, "}}"...)
		d.flush()
	}
}

// end ends the trace. What is not in it is counted.
func (d *drawing) end() {
	text := fmt.Sprintf(`"rows":"%d","drawn":"%d","left_out":"%d","left_out_cpu_ns":"%d"`, d.rows, d.drawn, d.rows-d.drawn, d.spans.cpu-d.drew)
	if d.drawn > 0 {
		text += `,"started":"` + time.Unix(0, d.first).UTC().Format(time.RFC3339Nano) + `"`
	}
	d.write("\n" + `],"otherData":{` + text + "}}\n")
}

// event begins an event.
func (d *drawing) event(ph string, pid, tid int32, at int64) {
	d.b = d.b[:0]
	if d.some {
		d.b = append(d.b, ',')
	}
	d.some = true
	d.b = append(d.b, "\n"+`{"ph":"`+ph+`","pid":`...)
	d.b = strconv.AppendInt(d.b, int64(pid), 10)
	d.b = append(d.b, `,"tid":`...)
	d.b = strconv.AppendInt(d.b, int64(tid), 10)
	d.b = append(d.b, `,"ts":`...)
	d.b = appendMicros(d.b, at-d.first)
}

// appendMicros appends nanoseconds, none below 0, as microseconds.
func appendMicros(b []byte, ns int64) []byte {
	b = append(strconv.AppendInt(b, ns/1000, 10), '.')
	rest := ns % 1000
	return append(b, byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
}

func (d *drawing) flush() {
	if d.err == nil {
		_, d.err = d.w.Write(d.b)
	}
}

func (d *drawing) write(text string) {
	d.b = append(d.b[:0], text...)
	d.flush()
}
