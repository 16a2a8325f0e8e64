// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

// What users choose cannot command a terminal or a spreadsheet.
func TestCSVIsHarmless(t *testing.T) {
	type row struct {
		Command string   `json:"command"`
		Groups  []string `json:"groups"`
		N       int      `json:"n"`
	}
	for text, want := range map[string]string{
		"make": "make", "=cmd|calc!A": "'=cmd|calc!A", "+1": "'+1", "-rf": "'-rf", "@x": "'@x", "a=b": "a=b",
		"\x1b[2J\a": `\x1b[2J\a`, "\t=x": `\t=x`, "\r\n": `\r\n`, "": "",
	} {
		var b strings.Builder
		if err := writeCSV(&b, row{text, []string{text}, -1}); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); got != "command,groups,n\n"+want+","+want+",-1\n" {
			t.Errorf("%q: %q", text, got)
		}
	}
}
