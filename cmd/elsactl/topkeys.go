// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"elsa/internal/escape"

	tea "charm.land/bubbletea/v2"
)

// topHelp is what ? shows.
const topHelp = `  up down pgup pgdn home end   select             ?  h      this help
  left right                   scroll             q ctrl+c  end
  enter                        open a group       space     stop, go on
  esc backspace                go back            + -       interval
  /                            show what has a text in its name

  groups and (ungrouped)
    i                          hide groups that do nothing, show them
    c t p m r w f n            sort by CPU, CPU time, processes, memory, reads,
                               writes, forks, name; once more: turned round

  processes
    tab                        commands that ended within an hour or two
    v                          the tree of who forked whom
    a                          command lines, names alone
    c t m n p                  sort by CPU, CPU time, memory, name, pid
    x                          send a signal to the selected one; it asks first

  CPU % is of one CPU: two busy CPUs are 200. PEAK is the largest that any one
  process was. What came and went in between is in every figure of a group.`

// maxFilter bounds a filter that is typed, in bytes.
const maxFilter = 128

// key does what a key stands for; text is what it types.
func (m *topModel) key(key, text string) tea.Cmd {
	m.note = ""
	switch {
	case key == "ctrl+c":
		return tea.Quit
	case m.help:
		m.help = false
		return nil
	case m.view.ask != nil:
		return m.signalKey(key)
	case m.typing:
		m.filterKey(key, text)
		return nil
	}
	switch key {
	case "q":
		return tea.Quit
	case "?", "h":
		m.help = true
	case "/":
		m.typing = true
		*m.filtered() = ""
	case "space":
		m.paused = !m.paused
	case "+", "=":
		m.interval = min(2*m.interval, time.Hour)
		return m.wait()
	case "-":
		m.interval = max(m.interval/2, 100*time.Millisecond)
		return m.wait()
	case "left":
		*m.scrolled() = max(*m.scrolled()-1, 0)
	case "right":
		*m.scrolled() = min(*m.scrolled()+1, m.lastOffset())
	case "up", "k":
		m.move(-1)
	case "down", "j":
		m.move(+1)
	case "pgup":
		m.move(-m.room())
	case "pgdown":
		m.move(+m.room())
	case "home":
		m.move(-1 << 30)
	case "end":
		m.move(1 << 30)
	default:
		if m.group != "" {
			return m.detailKey(key)
		}
		return m.groupsKey(key)
	}
	return nil
}

// filtered is the filter of what is shown, and scrolled how far that is scrolled.
func (m *topModel) filtered() *string {
	if m.group != "" {
		return &m.view.filter
	}
	return &m.filter
}

func (m *topModel) scrolled() *int {
	if m.group != "" {
		return &m.view.offset
	}
	return &m.offset
}

// groupsKey is a key where groups are shown.
func (m *topModel) groupsKey(key string) tea.Cmd {
	switch key {
	case "i":
		m.busy = !m.busy
	case "esc":
		m.filter = ""
	case "enter":
		list, rest := m.rows()
		i := m.selected(list, rest)
		switch r := append(list, rest...); {
		case i >= len(r):
		case r[i].Scope == "group" || r[i].Scope == "ungrouped":
			m.group, m.view = r[i].Name, topView{by: "c"}
			m.detail = topDetail{group: m.group}
			return m.fetchDetail()
		default:
			m.note = fmt.Sprintf("%s has no list of processes; open a group or %s", r[i].Name, ungroupedName)
		}
	default:
		if by, known := findTopColumn(func(c *topColumn) bool { return c.key == key }); known {
			m.reverse = by == m.by && !m.reverse
			m.by = by
			m.frame.sort(m.by, m.reverse)
		}
	}
	return nil
}

// detailKey is a key where one group is shown.
func (m *topModel) detailKey(key string) tea.Cmd {
	v := &m.view
	switch _, order := memberOrders[key]; {
	case key == "esc" && v.filter != "":
		v.filter = ""
	case key == "esc", key == "backspace":
		m.group, m.view = "", topView{}
	case key == "tab" && m.group == ungroupedName:
		m.note = "commands that ended are told apart for groups; elsactl report --by command has those of the machine"
	case key == "tab":
		v.commands, v.offset, v.first = !v.commands, 0, 0
		return m.fetchDetail()
	case v.commands:
	case key == "v":
		v.tree = !v.tree
		m.sortDetail()
	case key == "a":
		v.names = !v.names
	case key == "x":
		if list := m.members(); len(list) > 0 {
			p := list[m.selectedMember(list)]
			v.ask, v.number = &p, 0
		}
	case order:
		v.reverse = v.by == key && !v.reverse
		v.by = key
		m.sortDetail()
	}
	return nil
}

// filterKey is a key while a filter is typed.
func (m *topModel) filterKey(key, text string) {
	f := m.filtered()
	switch {
	case key == "enter":
		m.typing = false
	case key == "esc":
		m.typing, *f = false, ""
	case key == "backspace":
		_, n := utf8.DecodeLastRuneInString(*f)
		*f = (*f)[:len(*f)-n]
	case len(*f)+len(text) <= maxFilter:
		for _, r := range text {
			if unicode.IsPrint(r) {
				*f += string(r)
			}
		}
	}
}

// signalKey is a key while it is asked which signal to send, and then whether to. Any
// key but those asked for sends none.
func (m *topModel) signalKey(key string) tea.Cmd {
	v := &m.view
	if v.number == 0 {
		for i, s := range topSignals {
			if s.key == key {
				v.number = i + 1
				return nil
			}
		}
		v.ask = nil
		return nil
	}
	p, s := *v.ask, topSignals[v.number-1]
	v.ask = nil
	if key != "y" {
		m.note = "no signal was sent"
		return nil
	}
	return func() tea.Msg {
		if err := p.signal(s.number); err != nil {
			return topNote(err.Error())
		}
		return topNote(fmt.Sprintf("sent SIG%s to process %d (%s)", s.name, p.PID, escape.Text(p.Command)))
	}
}

// selected is the place of the selected row: the first, until one is selected.
func (m *topModel) selected(list, rest []topRow) int {
	for i := range list {
		if list[i].Name == m.cursor {
			return i
		}
	}
	for i := range rest {
		if rest[i].Name == m.cursor {
			return len(list) + i
		}
	}
	return 0
}

// selectedMember is that of the selected process.
func (m *topModel) selectedMember(list []topMember) int {
	for i := range list {
		if keyOf(&list[i].Member) == m.view.cursor {
			return i
		}
	}
	return 0
}

func (m *topModel) move(by int) {
	switch {
	case m.group != "" && m.view.commands:
		m.view.first = min(max(m.view.first+by, 0), max(len(m.detail.report.Rows)-1, 0))
	case m.group != "":
		if list := m.members(); len(list) > 0 {
			i := min(max(m.selectedMember(list)+by, 0), len(list)-1)
			m.view.cursor = keyOf(&list[i].Member)
		}
	default:
		list, rest := m.rows()
		if all := append(list, rest...); len(all) > 0 {
			m.cursor = all[min(max(m.selected(list, rest)+by, 0), len(all)-1)].Name
		}
	}
}
