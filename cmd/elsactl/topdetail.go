// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"time"

	"elsa/pkg/client"
)

// memberColumns are those of processes: what tells them apart must fit.
func (m *topModel) memberColumns() []gridColumn {
	pid, cpu, command := gridColumn{head: "PID", width: 7}, gridColumn{head: "CPU %", width: 7}, gridColumn{head: "COMMAND", left: true, text: true}
	switch {
	case m.width < 72:
		return []gridColumn{pid, cpu, {head: "MEM", width: 5}, command}
	case m.width < roomy:
		return []gridColumn{pid, {head: "PPID", width: 7}, cpu, {head: "CPU TIME", width: 8}, {head: "MEM", width: 5}, {head: "STARTED", width: 10, left: true}, command}
	}
	return []gridColumn{pid, {head: "PPID", width: 7}, {head: "USER", width: 12, left: true}, cpu, {head: "CPU TIME", width: 8}, {head: "MEMORY", width: 10},
		{head: "STARTED", width: 19, left: true}, command}
}

func (m *topModel) memberCells(p *topMember) []string {
	command := p.branch + p.command(!m.view.names)
	switch {
	case m.width < 72:
		return []string{fmt.Sprint(p.PID), percent(p.percent), short(p.local.rss), command}
	case m.width < roomy:
		started := p.Started.Local().Format(time.DateOnly)
		if m.frame.Time.Sub(p.Started) < 24*time.Hour {
			started = p.Started.Local().Format(time.TimeOnly)
		}
		return []string{fmt.Sprint(p.PID), fmt.Sprint(p.PPID), percent(p.percent), seconds(p.CPUSeconds), short(p.local.rss), started, command}
	}
	user := ""
	if p.local.process.Start.Known() {
		user, _ = users().User(p.local.process.UID)
	}
	return []string{fmt.Sprint(p.PID), fmt.Sprint(p.PPID), user, percent(p.percent), seconds(p.CPUSeconds), bytes(p.local.rss), clock(p.Started), command}
}

// commandColumns are those of commands that ended.
func commandColumns() []gridColumn {
	return []gridColumn{
		{head: "COMMAND", width: 16, left: true}, {head: "ENDED", width: 8}, {head: "ELAPSED", width: 8}, {head: "USER", width: 8},
		{head: "SYSTEM", width: 8}, {head: "PEAK", width: 5}, {head: "READ", width: 5}, {head: "WRITTEN", width: 7},
	}
}

// lastOffset is how far what is shown can be scrolled to the right.
func (m *topModel) lastOffset() int {
	switch {
	case m.group == "":
		return len(m.groupColumns()) - 2
	case m.view.commands:
		return len(commandColumns()) - 2
	}
	return len(m.memberColumns()) - 2 + (maxArgs+shiftBy-1)/shiftBy
}

func (m *topModel) drawDetail(c *canvas) {
	what := "processes"
	switch {
	case m.view.commands:
		what = "commands that ended in the last hours"
	case m.view.tree:
		what = "tree of processes"
	}
	if m.group == ungroupedName {
		what += " in no group"
	} else {
		// The name is written out, over as many lines as it takes.
		what = fmt.Sprintf("group %s: %s", m.group, what)
	}
	what += m.state(m.view.filter)
	for r := []rune(what); len(r) > 0; r = r[min(len(r), max(c.width, 1)):] {
		c.add(bold, string(r))
	}
	m.sub(c, m.detail.err, m.detailNote())
	if m.view.commands {
		m.drawCommands(c)
		return
	}
	columns := m.memberColumns()
	g := newGrid(columns, m.view.offset, m.width, 0)
	c.add(reverse, pad(" "+g.head(), m.width))
	list := m.members()
	selected := m.selectedMember(list)
	room := c.rest(m.height)
	m.view.first = window(m.view.first, selected, len(list), room)
	for i := m.view.first; i < min(m.view.first+room, len(list)); i++ {
		line := g.line(m.memberCells(&list[i]))
		switch {
		case i == selected:
			c.add(bold+cyan, "▌"+line)
		case list[i].percent >= 1:
			c.add(green, " "+line)
		default:
			c.add("", " "+line)
		}
	}
}

func (m *topModel) drawCommands(c *canvas) {
	g := newGrid(commandColumns(), m.view.offset, m.width, 0)
	c.add(reverse, pad(" "+g.head(), m.width))
	var rows []client.ReportRow
	for _, r := range m.detail.report.Rows {
		if strings.Contains(strings.ToLower(r.Command), strings.ToLower(m.view.filter)) {
			rows = append(rows, r)
		}
	}
	room := c.rest(m.height)
	m.view.first = max(min(m.view.first, len(rows)-room), 0)
	for i := m.view.first; i < min(m.view.first+room, len(rows)); i++ {
		r := &rows[i]
		c.add("", " "+g.line([]string{r.Command, fmt.Sprint(r.Processes), seconds(r.ElapsedSeconds), seconds(r.CPUUserSeconds), seconds(r.CPUSystemSeconds),
			short(r.MaxRSSBytes), short(r.ReadBytes), short(r.WriteBytes)}))
	}
}

func (m *topModel) detailNote() string {
	d := &m.detail
	switch {
	case m.view.commands:
		return fmt.Sprintf("%s ended since %s", count(int(d.report.Total.Processes), "process"), d.report.Since.Local().Format("15:04"))
	case d.at.IsZero():
		return "asking elsad"
	}
	note := count(len(d.members), "live process") + ", by " + memberOrders[m.view.by].name
	if d.omitted > 0 {
		note += fmt.Sprintf("; %d more are left out", d.omitted)
	}
	return note
}
