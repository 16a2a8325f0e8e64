// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"elsa/internal/escape"
	"elsa/pkg/client"
)

// topModel is the state of the live view.
type topModel struct {
	client   *client.Client
	interval time.Duration
	by       int
	reverse  bool
	paused   bool
	width    int
	height   int

	before *client.UsageReport
	frame  topFrame
	cursor string // the selected row's name
	first  int    // the first row that is shown
	fatal  error  // ends the program
	err    error  // shown

	group    string // shown in detail; empty: all groups
	commands bool   // its commands instead of its processes
	detail   topDetail
	turn     int // of the timer: only the latest counts
}

// topDetail is what is known of the group that is shown in detail.
type topDetail struct {
	group   string
	at      time.Time
	raw     []client.Member
	members []topMember
	report  client.Report
	err     error
}

// Messages.
type (
	topTick  int
	topUsage struct {
		report client.UsageReport
		err    error
	}
)

func newTopModel(service *client.Client, interval time.Duration, by int) *topModel {
	return &topModel{client: service, interval: interval, by: by, width: 80, height: 24}
}

func (m *topModel) Init() tea.Cmd { return tea.Batch(m.fetch, m.wait()) }

// wait begins an interval.
func (m *topModel) wait() tea.Cmd {
	m.turn++
	turn := m.turn
	interval := m.interval
	if m.before == nil {
		interval = min(interval, 500*time.Millisecond) // the first rates soon
	}
	return tea.Tick(interval, func(time.Time) tea.Msg { return topTick(turn) })
}

func (m *topModel) fetch() tea.Msg {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	r, err := m.client.Usage(ctx, client.UsageQuery{})
	return topUsage{r, err}
}

// fetchDetail asks for what is shown of one group.
func (m *topModel) fetchDetail() tea.Cmd {
	if m.group == "" {
		return nil
	}
	d, commands, service := m.detail, m.commands, m.client
	if d.group != m.group {
		d = topDetail{group: m.group}
	}
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
		defer cancel()
		if commands {
			d.report, d.err = service.Report(ctx, client.ReportQuery{Groups: []string{d.group}, By: "command", Since: time.Now().Add(-time.Hour)})
			return d
		}
		g, err := service.Group(ctx, d.group)
		now := time.Now()
		if d.err = err; err == nil {
			d.members = newMembers(d.raw, g.Members, now.Sub(d.at).Seconds())
			d.raw, d.at = g.Members, now
		}
		return d
	}
}

func (m *topModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case topTick:
		switch {
		case int(msg) != m.turn:
			return m, nil
		case m.paused:
			return m, m.wait()
		}
		return m, tea.Batch(m.fetch, m.fetchDetail(), m.wait())
	case topUsage:
		return m, m.take(msg)
	case topDetail:
		if msg.group == m.group {
			m.detail = msg
		}
	case tea.KeyPressMsg:
		return m, m.key(msg.String())
	}
	return m, nil
}

// take shows a new report. Where there never was one, there is nothing to show.
func (m *topModel) take(u topUsage) tea.Cmd {
	m.err = u.err
	if u.err != nil {
		if m.before == nil {
			m.fatal = u.err
			return tea.Quit
		}
		return nil
	}
	m.frame = newFrame(m.before, &u.report)
	m.frame.sort(m.by, m.reverse)
	m.before = &u.report
	return nil
}

func (m *topModel) key(key string) tea.Cmd {
	switch key {
	case "q", "ctrl+c":
		return tea.Quit
	case "space":
		m.paused = !m.paused
	case "+", "=":
		m.interval = min(2*m.interval, time.Hour)
		return m.wait()
	case "-":
		m.interval = max(m.interval/2, 100*time.Millisecond)
		return m.wait()
	case "esc", "left", "backspace":
		m.group, m.commands = "", false
	case "enter", "right":
		if i := m.selected(); m.group == "" && i < len(m.frame.Rows) && m.frame.Rows[i].Scope == "group" {
			m.group = m.frame.Rows[i].Name
			m.detail = topDetail{group: m.group}
			return m.fetchDetail()
		}
	case "tab":
		if m.group != "" {
			m.commands = !m.commands
			return m.fetchDetail()
		}
	case "up", "k":
		m.move(-1)
	case "down", "j":
		m.move(+1)
	case "pgup":
		m.move(-m.room())
	case "pgdown":
		m.move(+m.room())
	case "home":
		m.move(-len(m.frame.Rows))
	case "end":
		m.move(len(m.frame.Rows))
	default:
		if by, known := findTopColumn(func(c *topColumn) bool { return c.key == key }); known && m.group == "" {
			m.reverse = by == m.by && !m.reverse
			m.by = by
			m.frame.sort(m.by, m.reverse)
		}
	}
	return nil
}

// selected is the place of the selected row: the first, until one is selected.
func (m *topModel) selected() int {
	for i := range m.frame.Rows {
		if m.frame.Rows[i].Name == m.cursor {
			return i
		}
	}
	return 0
}

func (m *topModel) move(by int) {
	if m.group == "" && len(m.frame.Rows) > 0 {
		m.cursor = m.frame.Rows[min(max(m.selected()+by, 0), len(m.frame.Rows)-1)].Name
	}
}

// room is how many rows fit between head and foot.
func (m *topModel) room() int { return max(m.height-5, 1) }

func (m *topModel) View() tea.View {
	v := tea.NewView(m.screen())
	v.AltScreen = true
	v.WindowTitle = "elsactl top"
	return v
}

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

// screen is the whole view.
func (m *topModel) screen() string {
	var lines []string
	add := func(style, text string) { lines = append(lines, style+clip(text, m.width)+plain) }
	head, sub := m.head()
	add(bold, head)
	if m.err != nil {
		add(red, escape.Text(strings.Join(strings.Fields(m.err.Error()), " ")))
	} else {
		add(dim, sub)
	}
	t, selected := m.table()
	var text strings.Builder
	t.write(&text)
	rows := strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	add(reverse, pad(" "+rows[0], m.width))
	rows = rows[1:]
	if m.first > selected || selected < 0 {
		m.first = max(selected, 0)
	}
	m.first = max(m.first, selected-m.room()+1)
	for i := m.first; i < len(rows) && i < m.first+m.room(); i++ {
		switch {
		case i == selected:
			add(bold+cyan, "▌"+rows[i])
		case m.group == "" && m.frame.Rows[i].Scope != "group":
			add(dim, " "+rows[i])
		case m.group == "" && m.frame.Rows[i].CPUPercent >= 1:
			add(green, " "+rows[i])
		default:
			add("", " "+rows[i])
		}
	}
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	add(dim, m.foot())
	return strings.Join(lines, "\n")
}

func (m *topModel) head() (head, sub string) {
	state := ""
	if m.paused {
		state = "  [stopped]"
	}
	if m.group != "" {
		what := "processes"
		if m.commands {
			what = "commands that ended in the last hours"
		}
		return fmt.Sprintf("group %s: %s%s", m.group, what, state), m.detailNote()
	}
	groups, live := 0, uint64(0)
	for _, r := range m.frame.Rows {
		if r.Scope == "group" {
			groups++
		}
		if r.Scope == "total" {
			live = r.Live
		}
	}
	head = fmt.Sprintf("elsactl top  %s%s", m.frame.Time.Local().Format(time.TimeOnly), state)
	if m.before == nil {
		return "elsactl top", "asking elsad"
	}
	any := 0.0
	for _, r := range m.frame.Rows {
		switch r.Scope {
		case "total":
			any += r.CPUPercent
		case "ungrouped", "unattributed":
			any -= r.CPUPercent
		}
	}
	return head, fmt.Sprintf("%s, %d live processes; groups use %.1f %% of a CPU; every %v, by %s", count(groups, "group"), live, max(any, 0), m.interval, topColumns[m.by].name)
}

func (m *topModel) detailNote() string {
	d := &m.detail
	switch {
	case d.err != nil:
		return escape.Text(strings.Join(strings.Fields(d.err.Error()), " "))
	case m.commands:
		return fmt.Sprintf("%s ended since %s", count(int(d.report.Total.Processes), "process"), d.report.Since.Local().Format("15:04"))
	case d.at.IsZero():
		return "asking elsad"
	}
	return count(len(d.members), "live process")
}

// table is what is shown below the head, and which row is selected, or -1.
func (m *topModel) table() (t *table, selected int) {
	switch {
	case m.group == "":
		t = newTable(topHeader...)
		for i := range m.frame.Rows {
			t.row(m.frame.Rows[i].cells()...)
		}
		return t, m.selected()
	case m.commands:
		t = newTable("COMMAND", "ENDED>", "ELAPSED>", "USER>", "SYSTEM>", "PEAK>", "READ>", "WRITTEN>")
		for i := range m.detail.report.Rows {
			r := &m.detail.report.Rows[i]
			t.row(r.Command, fmt.Sprint(r.Processes), seconds(r.ElapsedSeconds), seconds(r.CPUUserSeconds), seconds(r.CPUSystemSeconds),
				bytes(r.MaxRSSBytes), bytes(r.ReadBytes), bytes(r.WriteBytes))
		}
	case m.width < 72: // what tells processes apart must fit
		t = newTable("PID>", "CPU %>", "MEMORY>", "COMMAND")
		for _, p := range m.detail.members {
			t.row(fmt.Sprint(p.PID), fmt.Sprintf("%.1f", p.percent), bytes(p.rss), p.Command)
		}
	default:
		t = newTable("PID>", "PPID>", "CPU %>", "CPU TIME>", "MEMORY>", "STARTED", "COMMAND")
		for _, p := range m.detail.members {
			t.row(fmt.Sprint(p.PID), fmt.Sprint(p.PPID), fmt.Sprintf("%.1f", p.percent), seconds(p.CPUSeconds), bytes(p.rss), clock(p.Started), p.Command)
		}
	}
	return t, -1
}

func (m *topModel) foot() string {
	if m.group != "" {
		return "tab processes or commands  esc back  space stop  +/- interval  q quit"
	}
	return "↑↓ select  enter show  sort: c-pu t-ime p-rocs m-em r-ead w-ritten f-orks n-ame  space stop  q quit"
}

// clip shortens text to a width.
func clip(s string, width int) string {
	if r := []rune(s); len(r) > width {
		return string(r[:width])
	}
	return s
}

// pad fills text up to a width.
func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(width-len([]rune(s)), 0))
}
