// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"elsa/internal/fault"
	"elsa/internal/fill"
	"elsa/internal/history"
	"elsa/internal/query"
	"elsa/pkg/client"
	"elsa/pkg/usage"
)

// Bounds of a request to fill, with which it is well below a megabyte.
const (
	fillCells = 1500
	fillRows  = 100_000
	// fillCommands is how many commands of an hour are told apart.
	fillCommands = 2000
)

// everyRow asks for all there is.
var everyRow query.Query

// Fill hands to w, each in a line of JSON, the requests that let a group take what a query
// asks for, and last what they come to: [query.FillLine]. st is what groups have by now.
func (x *Scanner) Fill(q *query.Query, group string, st *client.FillState, w io.Writer) error {
	x.Living = st.Living
	m, err := x.ready(q)
	if err != nil {
		return err
	}
	f, err := newFiller(group, st, json.NewEncoder(w))
	if err != nil {
		return err
	}
	if err := x.scan(q, m, f); err != nil {
		return err
	}
	if err := f.flush(); err != nil {
		return err
	}
	if f.done.CompleteSince, f.done.Complete, err = x.Since(); err != nil {
		return err
	}
	f.done.Columns, f.done.Figures = st.Columns, figuresOf(&f.sum)
	return f.out.Encode(query.FillLine{Done: &f.done})
}

// filler makes requests of the rows that it takes.
type filler struct {
	out       *json.Encoder
	next      uint64
	unsettled []fill.Run
	target    uint32 // 0: the group is to be made
	names     map[string][]known
	taken     []takenBy
	done      query.FillDone
	sum       usage.Usage

	columns []string
	numbers map[string][]uint64 // rows of the next request, by source
	rows    int
	cells   map[string]*client.FillCell
	sums    map[string]*usage.Usage
	order   []string // of cells
	hours   map[uint32]map[string]bool
	key     []byte
}

// known is a group by a name, in rows from first to before before.
type known struct {
	id            uint32
	first, before uint64
}

// takenBy are rows that a group took.
type takenBy struct {
	id     uint32
	source string
	runs   []fill.Run
}

func (t *takenBy) has(source string, seq uint64) bool {
	return t.source == source && hasRow(t.runs, seq)
}

func hasRow(runs []fill.Run, seq uint64) bool {
	i, _ := slices.BinarySearchFunc(runs, seq, func(r fill.Run, seq uint64) int {
		if r.Last < seq {
			return -1
		}
		return 1
	})
	return i < len(runs) && runs[i].First <= seq
}

func newFiller(group string, st *client.FillState, out *json.Encoder) (*filler, error) {
	f := &filler{out: out, next: st.Next, names: map[string][]known{}, columns: st.Columns, hours: map[uint32]map[string]bool{}}
	f.reset()
	var want []string
	for _, field := range usage.Stored {
		want = append(want, field.Info().Column())
	}
	if !slices.Equal(want, st.Columns) {
		return nil, errors.New("elsad and elsa-archive are of different versions: restart the one that is older")
	}
	var err error
	if f.unsettled, err = fill.Decode(st.Unsettled); err != nil {
		return nil, fmt.Errorf("read what is not settled: %w", err)
	}
	for i := range st.Groups {
		g := &st.Groups[i]
		if g.Name == group {
			f.target = g.ID
		}
		for _, n := range g.Named {
			f.names[n.Name] = append(f.names[n.Name], known{g.ID, n.First, n.Before})
		}
		for _, t := range g.Taken {
			runs, err := fill.Decode(t.Rows)
			if err != nil {
				return nil, fmt.Errorf("read what group %s has taken: %w", g.Name, err)
			}
			f.taken = append(f.taken, takenBy{g.ID, t.Source, runs})
		}
	}
	return f, nil
}

func (f *filler) reset() {
	f.numbers, f.rows = map[string][]uint64{}, 0
	f.cells, f.sums, f.order = map[string]*client.FillCell{}, map[string]*usage.Usage{}, nil
}

// fillColumns are what a filler needs of a row to know whether the group takes it.
var fillColumns = []Column{Source, Seq, Part, Groups, Precision, Ended}

func (f *filler) take(b *batch, found []int32) error {
	if err := b.need(fillColumns...); err != nil {
		return err
	}
	if err := b.need(UID, Command, UserName, Status, Inferred); err != nil {
		return err
	}
	if err := b.need(figures...); err != nil {
		return err
	}
	for _, i := range found {
		if err := f.row(b, i); err != nil {
			return &sinkError{err}
		}
	}
	return nil
}

// row takes a row, or says why not.
func (f *filler) row(b *batch, i int32) error {
	seq, source := uint64(b.ints[Seq][i]), b.str(Source, i)
	f.done.Matched++
	ids := f.groupsOf(b, i, source, seq)
	switch {
	case f.target != 0 && slices.Contains(ids, f.target):
		f.done.Had++
		return nil
	case f.next != 0 && seq >= f.next:
		f.done.Late++
		return nil
	case hasRow(f.unsettled, seq):
		f.done.Unsettled++
		return nil
	case len(ids) > fill.MaxOthers:
		f.done.Crowded++
		return nil
	}
	if f.rows >= int(fault.Size("fill", fillRows)) || len(f.order) >= fillCells {
		if err := f.flush(); err != nil {
			return err
		}
	}
	f.numbers[source] = append(f.numbers[source], seq)
	f.rows++
	u := usageOf(b, i)
	f.sumOf(b, i, ids).Add(&u)
	f.sum.Add(&u)
	f.done.Rows++
	ended := time.Unix(0, b.ints[Ended][i]).UTC()
	if f.done.First.IsZero() || ended.Before(f.done.First) {
		f.done.First = ended
	}
	if ended.After(f.done.Last) {
		f.done.Last = ended
	}
	return nil
}

// groupsOf are the ids of the groups that have a row, ascending: those it names and those
// that took it.
func (f *filler) groupsOf(b *batch, i int32, source string, seq uint64) (ids []uint32) {
	for _, code := range b.groupsOf(i) {
		for _, k := range f.names[b.texts[Groups][code]] {
			if k.first <= seq && (k.before == 0 || seq < k.before) {
				ids = append(ids, k.id)
			}
		}
	}
	for k := range f.taken {
		if f.taken[k].has(source, seq) {
			ids = append(ids, f.taken[k].id)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// measured are the columns of what is measured of a process.
var measured = [usage.Measured]Column{
	usage.User: CPUUser, usage.System: CPUSystem, usage.CPUDelay: CPUDelay, usage.Elapsed: Elapsed,
	usage.MinorFaults: MinorFaults, usage.MajorFaults: MajorFaults, usage.ReadBytes: ReadBytes, usage.WriteBytes: WriteBytes,
	usage.ReadChars: ReadChars, usage.WriteChars: WriteChars, usage.MaxRSS: MaxRSS,
	usage.VoluntarySwitches: VoluntarySwitches, usage.InvoluntarySwitches: InvoluntarySwitches,
}

// usageOf is what a row says that was used.
func usageOf(b *batch, i int32) (u usage.Usage) {
	for field, c := range measured {
		u[field] = uint64(b.ints[c][i])
	}
	if b.ints[Part][i] != 0 {
		return u
	}
	u[usage.Ended] = 1
	switch b.str(Precision, i) {
	case "exact":
		u[usage.Exact] = 1
	case "sampled":
		u[usage.Sampled] = 1
	default:
		u[usage.Rounded] = 1
	}
	u[usage.Inferred] = uint64(b.ints[Inferred][i])
	if status := b.ints[Status][i]; exited("signal", status) {
		u[usage.ExitSignal] = 1
	} else if exited("nonzero", status) {
		u[usage.ExitNonzero] = 1
	}
	return u
}

// sumOf is the sum of the cell that a row belongs to.
func (f *filler) sumOf(b *batch, i int32, ids []uint32) *usage.Usage {
	hour, command := usage.HourOf(b.ints[Ended][i]/int64(time.Second)), b.str(Command, i)
	commands := f.hours[hour]
	if commands == nil {
		commands = map[string]bool{}
		f.hours[hour] = commands
	}
	if !commands[command] {
		if len(commands) >= fillCommands {
			command = history.Other
		} else {
			commands[command] = true
		}
	}
	uid := uint32(b.ints[UID][i])
	f.key = fmt.Appendf(f.key[:0], "%d %d %v %s", hour, uid, ids, command)
	sum := f.sums[string(f.key)]
	if sum == nil {
		key := string(f.key)
		sum = &usage.Usage{}
		f.sums[key], f.order = sum, append(f.order, key)
		f.cells[key] = &client.FillCell{Hour: usage.HourStart(hour), Cell: client.Cell{Groups: ids, UID: uid, Command: command}}
	}
	return sum
}

// flush hands out a request for what was taken.
func (f *filler) flush() error {
	if f.rows == 0 {
		return nil
	}
	r := client.FillRequest{Columns: f.columns}
	for _, key := range f.order {
		c := f.cells[key]
		c.Figures = figuresOf(f.sums[key])
		r.Cells = append(r.Cells, *c)
	}
	for source, list := range f.numbers {
		slices.Sort(list)
		r.Rows = append(r.Rows, client.FillRows{Source: source, Rows: fill.Encode(fill.RunsOf(list))})
	}
	slices.SortFunc(r.Rows, func(a, b client.FillRows) int { return slices.Compare([]byte(a.Source), []byte(b.Source)) })
	f.reset()
	return f.out.Encode(query.FillLine{Fill: &r})
}

// figuresOf are the figures of a cell, in the order of usage.Stored.
func figuresOf(u *usage.Usage) []uint64 {
	list := make([]uint64, len(usage.Stored))
	for i, field := range usage.Stored {
		list[i] = u[field]
	}
	return list
}
