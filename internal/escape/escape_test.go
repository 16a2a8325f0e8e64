// SPDX-License-Identifier: Apache-2.0

package escape

import (
	"testing"
	"unicode"
	"unicode/utf8"
)

// What users choose cannot command a terminal or a spreadsheet.
func TestText(t *testing.T) {
	for _, c := range []struct{ text, shown, cell string }{
		{"", "", ""},
		{"make", "make", "make"},
		{"müller 漢", "müller 漢", "müller 漢"},
		{`a"b\c`, `a"b\c`, `a"b\c`},
		{"\x1b[2J\a", `\x1b[2J\a`, `\x1b[2J\a`},
		{"\r\n\t", `\r\n\t`, `\r\n\t`},
		{"\u202egpj", `\u202egpj`, `\u202egpj`},
		{"\u009b2J", `\u009b2J`, `\u009b2J`},
		{"\x9b2J", `\x9b2J`, `\x9b2J`}, // no UTF-8: an old terminal takes the byte for ESC [
		{"=cmd|calc!A", "=cmd|calc!A", "'=cmd|calc!A"},
		{"+1", "+1", "'+1"},
		{"-rf", "-rf", "'-rf"},
		{"@x", "@x", "'@x"},
		{"a=b", "a=b", "a=b"},
		{"\t=x", `\t=x`, `\t=x`},
	} {
		if got := Text(c.text); got != c.shown {
			t.Errorf("Text(%q) = %s, want %s", c.text, got, c.shown)
		}
		if got := Cell(c.text); got != c.cell {
			t.Errorf("Cell(%q) = %s, want %s", c.text, got, c.cell)
		}
	}
}

// Whatever the bytes, all that is shown is printable, once and again.
func FuzzText(f *testing.F) {
	for _, s := range []string{"make", "\x1b[2J", "\x9b", "=\u202e", "'\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, shown := range []string{Text(s), Cell(s)} {
			if !utf8.ValidString(shown) {
				t.Errorf("%q is shown as %q", s, shown)
			}
			for _, r := range shown {
				if !unicode.IsPrint(r) {
					t.Errorf("%q is shown as %q", s, shown)
				}
			}
			if Text(shown) != shown {
				t.Errorf("%q is shown as %q, and that as %q", s, shown, Text(shown))
			}
		}
	})
}
