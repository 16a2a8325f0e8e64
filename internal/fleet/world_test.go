// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"elsa/internal/cells"
	"elsa/internal/query"
	"elsa/internal/ship"
	"elsa/pkg/client"
	"elsa/pkg/usage"
)

// memory is a sink in memory. What fault says of an operation happens to it.
type memory struct {
	files map[string][]byte
	fault func(op, name string) (before, after error)
}

func newMemory() *memory { return &memory{files: map[string][]byte{}} }

func (m *memory) clone() *memory { return &memory{files: maps.Clone(m.files)} }

// equal reports whether the files are the same.
func (m *memory) equal(o *memory) bool { return maps.EqualFunc(m.files, o.files, bytes.Equal) }

func (m *memory) do(op, name string, f func() error) error {
	var before, after error
	if m.fault != nil {
		before, after = m.fault(op, name)
	}
	if before != nil {
		return before
	}
	return errors.Join(f(), after)
}

func (m *memory) List(_ context.Context, prefix string) (list []ship.Object, err error) {
	err = m.do("list", prefix, func() error {
		for _, name := range slices.Sorted(maps.Keys(m.files)) {
			if strings.HasPrefix(name, prefix) {
				list = append(list, ship.Object{Name: name, Size: int64(len(m.files[name]))})
			}
		}
		return nil
	})
	return list, err
}

func (m *memory) Get(_ context.Context, name string) (b []byte, err error) {
	err = m.do("get", name, func() error {
		var ok bool
		if b, ok = m.files[name]; !ok {
			return fs.ErrNotExist
		}
		return nil
	})
	return b, err
}

func (m *memory) Put(_ context.Context, name string, b []byte) error {
	return m.do("put", name, func() error {
		if _, ok := m.files[name]; ok {
			return ship.ErrThere
		}
		m.files[name] = slices.Clone(b)
		return nil
	})
}

func (m *memory) Replace(_ context.Context, name string, b []byte) error {
	return m.do("replace", name, func() error {
		m.files[name] = slices.Clone(b)
		return nil
	})
}

func (m *memory) Remove(_ context.Context, name string) error {
	return m.do("remove", name, func() error {
		delete(m.files, name)
		return nil
	})
}

// clock is the time of a world.
type clock struct{ now time.Time }

// node is a host with a history.
type node struct {
	clock  *clock
	source string
	name   string
	since  uint32
	run    int
	count  uint64 // of changes
	hours  map[uint32]map[key]usage.Usage
	change map[uint32]uint64
	groups map[uint32]string
	page   int // hours of an answer
	away   bool
	// answers are what was said of the time, as the fleet should have it.
	answers map[time.Time]map[string]usage.Usage
}

type key struct {
	group   uint32 // 0: none
	uid     uint32
	command string
}

func newNode(c *clock, n int) *node {
	return &node{
		clock: c, source: fmt.Sprintf("%08d-0000-5000-8000-000000000000", n), name: fmt.Sprint("node", n), since: usage.HourOf(c.now.Unix()) - 48, run: 1, page: 2,
		hours: map[uint32]map[key]usage.Usage{}, change: map[uint32]uint64{}, answers: map[time.Time]map[string]usage.Usage{},
		groups: map[uint32]string{1: "ci", 2: "ci/a", 3: "web"},
	}
}

// mark begins the marks of a run.
func (n *node) mark() string { return fmt.Sprint(n.source[:8], ".", n.run, "-") }

// bill puts what a process used in the history.
func (n *node) bill(hour uint32, k key, u *usage.Usage) {
	if n.hours[hour] == nil {
		n.hours[hour] = map[key]usage.Usage{}
	}
	sum := n.hours[hour][k]
	sum.Add(u)
	n.hours[hour][k] = sum
	n.count++
	n.change[hour] = n.count
}

// local is the host's own bill, by the hour and by names.
func (n *node) local() map[string]usage.Usage {
	all := map[string]usage.Usage{}
	for hour, cells := range n.hours {
		for k, u := range cells {
			name := cellName(hour, n.groups[k.group], k.uid, k.command)
			sum := all[name]
			sum.Add(&u)
			all[name] = sum
		}
	}
	return all
}

func cellName(hour uint32, group string, uid uint32, command string) string {
	return fmt.Sprint(hour, " ", group, " ", uid, " ", command)
}

func (n *node) Cells(_ context.Context, q client.CellsQuery) (client.Cells, error) {
	if n.away {
		return client.Cells{}, errors.New("elsad is not there")
	}
	columns := make([]string, len(usage.Stored))
	for i, f := range usage.Stored {
		columns[i] = f.Info().Column()
	}
	out := client.Cells{
		Time: n.clock.now, Source: n.source, Host: n.name, Mark: n.mark() + fmt.Sprint(n.count), Since: usage.HourStart(n.since), Columns: columns,
		Groups: map[string]string{}, Users: map[string]string{"1000": "anna"},
	}
	after := int64(-1)
	if text, ok := strings.CutPrefix(q.After, n.mark()); ok {
		after, _ = strconv.ParseInt(text, 10, 64)
	}
	for _, hour := range slices.Sorted(maps.Keys(n.hours)) {
		if usage.HourStart(hour).Before(q.From) || int64(n.change[hour]) <= after {
			continue
		}
		if len(out.Hours) == n.page {
			next := usage.HourStart(hour)
			out.Next = &next
			break
		}
		h := client.CellsHour{Hour: usage.HourStart(hour)}
		for k, u := range n.hours[hour] {
			c := client.Cell{UID: k.uid, Command: k.command}
			if k.group != 0 {
				c.Groups = []uint32{k.group}
				if name, ok := n.groups[k.group]; ok {
					out.Groups[fmt.Sprint(k.group)] = name
				}
			}
			for _, f := range usage.Stored {
				c.Figures = append(c.Figures, u[f])
			}
			h.Cells = append(h.Cells, c)
		}
		out.Hours = append(out.Hours, h)
	}
	if q.From.IsZero() {
		n.answers[out.Time] = n.local()
	}
	return out, nil
}

// bills are all cells of a sink that count since an hour, by host, and how complete they
// are.
func bills(ctx context.Context, r *Reader, first uint32) (map[string]map[string]usage.Usage, query.Completeness, error) {
	bills := map[string]map[string]usage.Usage{}
	last := usage.HourOf(r.Now().Unix()) + 2
	all, _, err := r.read(ctx, first, last, func(b *cells.Block, host string) {
		if bills[host] == nil {
			bills[host] = map[string]usage.Usage{}
		}
		for i := range b.Cells {
			c := &b.Cells[i]
			bills[host][cellName(b.Hour, strings.Join(c.Groups, ","), c.UID, c.Command)] = c.Usage
		}
	})
	complete, _ := completeness(all, first, last, r.Now())
	return bills, complete, err
}
