// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"elsa/internal/escape"
	"elsa/internal/progress"
)

// print shows v in the chosen format; text prints it for a person. In CSV, a
// slice is a line for each element and anything else is one line.
func (c *ctl) print(v any, text func()) error { return c.printAs(v, v, text) }

// printAs is print where CSV is about rows instead of v.
func (c *ctl) printAs(v, rows any, text func()) error {
	switch c.format {
	case "json":
		enc := json.NewEncoder(c.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	case "csv":
		return writeCSV(c.stdout, rows)
	}
	text()
	return nil
}

// waiting shows on a terminal what a call waits for, until stop is called.
func (c *ctl) waiting(what string) (stop func()) {
	return progress.Wait(c.stderr, func() string { return "elsactl: " + what })
}

// table is text in columns, numbers to the right.
type table struct {
	right []bool
	rows  [][]string
}

// newTable makes a table with a header, or without one when there are no
// columns. A column that ends in ">" is aligned to the right.
func newTable(columns ...string) *table {
	t := &table{}
	for _, col := range columns {
		t.right = append(t.right, strings.HasSuffix(col, ">"))
	}
	if len(columns) > 0 {
		t.row(strings.Split(strings.ReplaceAll(strings.Join(columns, "\n"), ">", ""), "\n")...)
	}
	return t
}

func (t *table) row(cells ...string) {
	for i := range cells {
		cells[i] = escape.Text(cells[i])
	}
	t.rows = append(t.rows, cells)
}

// write prints the table. Errors of w are its owner's matter.
func (t *table) write(w io.Writer) {
	var width []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i < len(t.right) && t.right[i] {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
			line.WriteString("  ")
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// pidRow is a process id as a line of CSV.
type pidRow struct {
	PID int `json:"pid"`
}

func pidRows(pids []int) []pidRow {
	rows := make([]pidRow, len(pids))
	for i, pid := range pids {
		rows[i].PID = pid
	}
	return rows
}
