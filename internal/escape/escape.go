// SPDX-License-Identifier: Apache-2.0

// Package escape makes text that users chose, such as names of processes and
// groups, safe for what shows it. All functions are pure.
package escape

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text is s with nothing in it that commands a terminal: if s has anything but
// printable UTF-8, it is escaped as in a string of Go (\x1b, \n), without the
// quotation marks; else it is s itself.
func Text(s string) string {
	if Plain(s) || utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

// Plain tells whether a text is printable ASCII, as nearly all are.
func Plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// Cell is s as a cell of CSV: that of [Text], with an apostrophe before it where a
// spreadsheet would take it for a formula (CSV itself needs its own quoting).
func Cell(s string) string {
	s = Text(s)
	if s != "" && strings.IndexByte("=+-@", s[0]) >= 0 {
		return "'" + s
	}
	return s
}
