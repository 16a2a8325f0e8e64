// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"elsa/internal/escape"
)

// gridColumn is a column of the screen. Its place does not depend on what is in it.
type gridColumn struct {
	head  string
	width int // in characters; 0: all the room that is left
	left  bool
	// text that is too long is cut at its end, and scrolled; else in its middle.
	text bool
}

// grid is where columns are on a line of some width: the first is always there, and
// of the others those from some place on that fit.
type grid struct {
	columns []gridColumn
	shown   []int
	shift   int // of text, in characters
}

// shiftBy is how far one more step to the right moves text.
const shiftBy = 8

// leastName is the least that is left for the column that takes the room, on a screen
// of some width.
func leastName(width int) int {
	if width < 80 {
		return 12
	}
	return 24
}

// newGrid places columns, offset of them scrolled away to the left. The one that takes
// all the room that is left takes wide at most, unless it is the last.
func newGrid(columns []gridColumn, offset, width, wide int) grid {
	last, name := len(columns)-2, leastName(width)
	g := grid{columns: append([]gridColumn(nil), columns...), shown: []int{0}, shift: max(offset-last, 0) * shiftBy}
	least := func(c gridColumn) int {
		if c.width == 0 {
			return name
		}
		return c.width
	}
	used := 1 + least(columns[0]) // after the mark
	for i := 1 + min(offset, last); i < len(columns); i++ {
		w := least(columns[i])
		if used+1+w > width {
			break
		}
		used += 1 + w
		g.shown = append(g.shown, i)
	}
	for at, i := range g.shown {
		if columns[i].width > 0 {
			continue
		}
		room := max(width-used+name, 1)
		if at < len(g.shown)-1 {
			room = min(room, max(wide, name))
		}
		g.columns[i].width = room
	}
	return g
}

func (g *grid) head() string {
	cells := make([]string, len(g.columns))
	for i, c := range g.columns {
		cells[i] = c.head
	}
	return g.line(cells)
}

// line is a row of cells, cut to their width.
func (g *grid) line(cells []string) string {
	var b strings.Builder
	for at, i := range g.shown {
		if at > 0 {
			b.WriteByte(' ')
		}
		c := g.columns[i]
		text := escape.Text(cells[i])
		if c.text {
			text = clip(skip(text, g.shift), c.width)
		} else {
			text = middle(text, c.width)
		}
		fill := strings.Repeat(" ", max(c.width-utf8.RuneCountInString(text), 0))
		if c.left {
			b.WriteString(text + fill)
		} else {
			b.WriteString(fill + text)
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// middle shortens text to a width by leaving out its middle: of names made by rules
// the ends tell which they are.
func middle(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	if width < 2 {
		return string(r[:max(width, 0)])
	}
	tail := (width - 1) / 2
	return string(r[:width-1-tail]) + "…" + string(r[len(r)-tail:])
}

// clip shortens text to a width.
func clip(s string, width int) string {
	if r := []rune(s); len(r) > width {
		return string(r[:max(width, 0)])
	}
	return s
}

// skip leaves out the first n characters of text.
func skip(s string, n int) string {
	r := []rune(s)
	return string(r[min(n, len(r)):])
}

// pad fills text up to a width.
func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(width-len([]rune(s)), 0))
}

// short is a size for a narrow column, five characters at most: 17B, 1.8G, 612M.
func short(n uint64) string {
	if n < 1000 {
		return fmt.Sprintf("%dB", n)
	}
	f, unit := float64(n)/1024, 0
	for f >= 999.5 && unit < 5 {
		f, unit = f/1024, unit+1
	}
	if f < 9.95 {
		return fmt.Sprintf("%.1f%c", f, "KMGTPE"[unit])
	}
	return fmt.Sprintf("%.0f%c", f, "KMGTPE"[unit])
}

// window is the first of n rows to show where room fit, so that the selected one is
// seen and no room is left empty: that which was first before, if that will do.
func window(first, selected, n, room int) int {
	first = max(min(first, selected), selected-room+1)
	return max(min(first, n-room), 0)
}
