// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"time"

	"elsa/internal/escape"
)

// Attributes of text: SGR sequences, which a terminal without them is spared.
const (
	bold    = "\x1b[1m"
	dim     = "\x1b[2m"
	reverse = "\x1b[7m"
	red     = "\x1b[31m"
	green   = "\x1b[32m"
	cyan    = "\x1b[36m"
	plain   = "\x1b[m"
)

// roomy is the width from which on figures are written out.
const roomy = 110

// canvas collects the lines of a screen.
type canvas struct {
	lines []string
	width int
}

func (c *canvas) add(style, text string) {
	c.lines = append(c.lines, style+clip(text, c.width)+plain)
}

// rest is how many lines are left above the last of a screen.
func (c *canvas) rest(height int) int { return max(height-1-len(c.lines), 1) }

// room is how many rows fit between head and foot.
func (m *topModel) room() int { return max(m.height-4, 1) }

// screen is the whole view.
func (m *topModel) screen() string {
	c := &canvas{width: m.width}
	foot := "? help  / filter  i idle  enter open  ←→ columns  space stop  q quit"
	switch {
	case m.help:
		c.add(bold, "elsactl top: keys")
		for line := range strings.SplitSeq(topHelp, "\n") {
			c.add("", line)
		}
		foot = "any key goes back"
	case m.group != "":
		m.drawDetail(c)
		foot = "esc back  tab processes or commands  v tree  a args  x signal  / filter  ? help"
	default:
		m.drawGroups(c)
	}
	c.lines = c.lines[:min(len(c.lines), max(m.height-1, 1))]
	for len(c.lines) < m.height-1 {
		c.lines = append(c.lines, "")
	}
	switch v := &m.view; {
	case m.help:
		c.add(dim, foot)
	case m.typing:
		c.add(bold, "/"+*m.filtered()+"▏  enter keeps, esc ends it")
	case v.ask != nil && v.number == 0:
		c.add(bold+red, fmt.Sprintf("signal to %d %s: t TERM  i INT  h HUP  k KILL  s STOP  c CONT  esc none", v.ask.PID, middle(escape.Text(v.ask.Command), 16)))
	case v.ask != nil:
		c.add(bold+red, fmt.Sprintf("send SIG%s to process %d (%s)?  y yes, any other key no", topSignals[v.number-1].name, v.ask.PID, middle(escape.Text(v.ask.Command), 16)))
	default:
		c.add(dim, foot)
	}
	return strings.Join(c.lines, "\n")
}

// sub adds the line below the title: what is amiss, what a key did, or else text.
func (m *topModel) sub(c *canvas, err error, text string) {
	switch {
	case err != nil:
		c.add(red, escape.Text(strings.Join(strings.Fields(err.Error()), " ")))
	case m.note != "":
		c.add(bold, m.note)
	default:
		c.add(dim, text)
	}
}

// groupColumns are those of groups: names first, which get the room that is left.
func (m *topModel) groupColumns() []gridColumn {
	size := 5
	if m.width >= roomy {
		size = 10
	}
	return []gridColumn{
		{head: "GROUP", left: true}, {head: "PROCS", width: 6}, {head: "FORKS/S", width: 7}, {head: "CPU %", width: 7},
		{head: "CPU TIME", width: 8}, {head: "PEAK", width: size}, {head: "READ/S", width: max(size, 6)}, {head: "WRITTEN/S", width: max(size, 9)},
		{head: "MAJFLT/S", width: 8}, {head: "OWNER", width: 12, left: true}, {head: "LABELS", width: 30, left: true, text: true},
	}
}

func (m *topModel) groupCells(r *topRow) []string {
	size := short
	if m.width >= roomy {
		size = bytes
	}
	owner := ""
	if r.Scope == "group" {
		owner, _ = users().User(r.owner)
	}
	return []string{
		r.Name, fmt.Sprint(r.Live), perSecond(r.Started), percent(r.CPUPercent), seconds(r.CPUSeconds),
		size(r.MaxRSSBytes), size(uint64(r.ReadsPerSecond)), size(uint64(r.WritesPerSecond)), perSecond(r.FaultsPerSecond), owner, r.labels,
	}
}

// percent is a number of percent in seven characters.
func percent(p float64) string {
	if p >= 99999.95 {
		return fmt.Sprintf("%.0f", p)
	}
	return fmt.Sprintf("%.1f", p)
}

// nameStep is by how much the column of names widens when a longer one comes, so that
// the other columns keep their place.
const nameStep = 16

func (m *topModel) drawGroups(c *canvas) {
	head, sub := m.groupsHead()
	c.add(bold, head)
	m.sub(c, m.err, sub)
	g := newGrid(m.groupColumns(), m.offset, m.width, (m.wide+nameStep-1)/nameStep*nameStep)
	c.add(reverse, pad(" "+g.head(), m.width))
	list, rest := m.rows()
	selected := m.selected(list, rest)
	draw := func(i int, r *topRow) {
		line := g.line(m.groupCells(r))
		switch {
		case i == selected:
			c.add(bold+cyan, "▌"+line)
		case r.Scope != "group":
			c.add(dim, " "+line)
		case r.CPUPercent >= 1:
			c.add(green, " "+line)
		default:
			c.add("", " "+line)
		}
	}
	room := c.rest(m.height)
	// What is in no group, and the sum, stay in sight where there is room.
	if room >= 3*len(rest) {
		room -= len(rest)
		m.first = window(m.first, min(selected, max(len(list)-1, 0)), len(list), room)
		for i := m.first; i < min(m.first+room, len(list)); i++ {
			draw(i, &list[i])
		}
		for i := range rest {
			draw(len(list)+i, &rest[i])
		}
		return
	}
	all := append(list, rest...)
	m.first = window(m.first, selected, len(all), room)
	for i := m.first; i < min(m.first+room, len(all)); i++ {
		draw(i, &all[i])
	}
}

func (m *topModel) groupsHead() (head, sub string) {
	if m.before == nil {
		return "elsactl top", "asking elsad"
	}
	groups := 0
	var live uint64
	for _, r := range m.frame.Rows {
		switch r.Scope {
		case "group":
			groups++
		case "total":
			live = r.Live
		}
	}
	head = fmt.Sprintf("elsactl top  %s  every %v, by %s%s", m.frame.Time.Local().Format(time.TimeOnly), m.interval, topColumns[m.by].name, m.state(m.filter))
	if m.busy {
		head += "  idle groups hidden"
	}
	of := "of a CPU"
	if n := m.frame.CPUs; n > 0 {
		of = "of " + count(n, "CPU")
	}
	return head, fmt.Sprintf("%s, %d live processes; groups use %.1f %% %s", count(groups, "group"), live, m.frame.grouped, of)
}

// state is what is worth a word in the title.
func (m *topModel) state(filter string) (s string) {
	if m.paused {
		s += "  [stopped]"
	}
	if filter != "" {
		s += fmt.Sprintf("  with %q", filter)
	}
	return s
}
