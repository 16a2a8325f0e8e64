// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

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
	note   string // shown until the next key

	offset int    // columns that are scrolled away to the left
	wide   int    // the widest name so far
	filter string // names that are shown have this in them
	typing bool   // the filter is being typed
	busy   bool   // idle groups are hidden
	help   bool

	group  string // shown in detail; empty: all groups
	view   topView
	detail topDetail
	turn   int // of the timer: only the latest counts
}

// topView is how a group is shown in detail.
type topView struct {
	commands bool // its commands instead of its processes
	tree     bool
	names    bool // of processes the names alone, without arguments
	by       string
	reverse  bool
	cursor   topKey
	first    int
	offset   int
	filter   string
	// ask is the process that a signal is for, and number which, once it is chosen.
	ask    *topMember
	number int // of topSignals, from 1
}

// topDetail is what is known of the group that is shown in detail.
type topDetail struct {
	group   string
	at      time.Time
	raw     []client.Member
	members []topMember
	omitted int
	report  client.Report
	err     error
}

// ungroupedName is what the processes in no group are shown as.
const ungroupedName = "(ungrouped)"

// Messages.
type (
	topTick  int
	topUsage struct {
		report client.UsageReport
		err    error
	}
	topNote string
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
	uids := make([]uint32, len(r.Groups))
	for i := range r.Groups {
		uids[i] = r.Groups[i].Owner
	}
	nameUsers(uids)
	return topUsage{r, err}
}

// fetchDetail asks for what is shown of one group.
func (m *topModel) fetchDetail() tea.Cmd {
	if m.group == "" {
		return nil
	}
	d, commands, service, cpus := m.detail, m.view.commands, m.client, m.frame.CPUs
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
		var members []client.Member
		if d.group == ungroupedName {
			var u client.Ungrouped
			u, d.err = service.Ungrouped(ctx)
			members, d.omitted = u.Members, u.Omitted
		} else {
			var g client.GroupDetail
			g, d.err = service.Group(ctx, d.group)
			members = g.Members
		}
		if now := time.Now(); d.err == nil {
			d.members = newMembers(d.raw, members, now.Sub(d.at).Seconds(), cpus, lookAt)
			d.raw, d.at = members, now
			uids := make([]uint32, len(d.members))
			for i := range d.members {
				uids[i] = d.members[i].local.process.UID
			}
			nameUsers(uids)
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
			m.sortDetail()
		}
	case topNote:
		m.note = string(msg)
	case tea.KeyPressMsg:
		return m, m.key(msg.String(), msg.Text)
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
	for i := range m.frame.Rows {
		m.wide = max(m.wide, len([]rune(m.frame.Rows[i].Name)))
	}
	return nil
}

func (m *topModel) sortDetail() {
	if m.view.by == "" {
		m.view.by = "c"
	}
	m.detail.members = sortMembers(m.detail.members, m.view.by, m.view.reverse, m.view.tree)
}

// rows are the groups that are shown, and the parts of the machine that are no groups.
func (m *topModel) rows() (list, rest []topRow) {
	for _, r := range m.frame.Rows {
		switch {
		case r.Scope != "group":
			rest = append(rest, r)
		case !strings.Contains(strings.ToLower(r.Name), strings.ToLower(m.filter)):
		case m.busy && m.frame.Seconds > 0 && r.idle():
		default:
			list = append(list, r)
		}
	}
	return list, rest
}

// members are the processes that are shown.
func (m *topModel) members() (list []topMember) {
	want := strings.ToLower(m.view.filter)
	for _, p := range m.detail.members {
		if strings.Contains(strings.ToLower(p.Command+" "+p.local.args+" "+fmt.Sprint(p.PID)), want) {
			list = append(list, p)
		}
	}
	return list
}

func (m *topModel) View() tea.View {
	v := tea.NewView(m.screen())
	v.AltScreen = true
	v.WindowTitle = "elsactl top"
	return v
}
