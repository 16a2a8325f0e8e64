// SPDX-License-Identifier: Apache-2.0

// Package ruleset has the ready sets of rules that come with elsad, and switches them
// on and off in a configuration file, as text: comments and whatever else is in the file
// stay as they are.
//
// A set is a block of lines between "# set NAME: what it is for" and "# end of set". It is
// off while each of its lines begins with #, which is what is added and taken away.
package ruleset

import (
	_ "embed"
	"strings"
)

// File is the configuration file as it is installed, with every set off.
//
//go:embed elsa.yaml
var File string

// Set is one set of rules.
type Set struct {
	// Name is what it is called, About what it is for.
	Name, About string
	// On tells that at least one of its lines is no comment.
	On bool

	lines []string // those of the block, its first and last included
	at    int      // the number of its first line in the file, from 0
}

// Sets are the sets in the text of a configuration file, in its order. Where one begins
// and does not end, or another begins before its end, there is none.
func Sets(text string) (sets []Set) {
	var open *Set
	for i, line := range strings.Split(text, "\n") {
		mark := strings.TrimSpace(line)
		if name, found := strings.CutPrefix(mark, "# set "); found {
			name, about, _ := strings.Cut(name, ": ")
			open = &Set{Name: name, About: about, at: i}
		}
		if open == nil {
			continue
		}
		open.lines = append(open.lines, line)
		if mark == "# end of set" {
			sets = append(sets, *open)
			open = nil
		} else if mark != "" && mark[0] != '#' {
			open.On = true
		}
	}
	return sets
}

// Ready are the sets that come with elsad, by the name of each.
func Ready() []Set { return Sets(File) }

// switched returns the block's lines with the set on or off.
func (s *Set) switched(on bool) []string {
	out := append([]string(nil), s.lines...)
	margin := indentOf(s.lines[0])
	for i, line := range out[1 : len(out)-1] {
		rules := strings.TrimLeft(line, " \t")
		indent := line[:len(line)-len(rules)]
		switch {
		case rules == "" || rules == "\r":
		case on:
			out[i+1] = indent + strings.TrimPrefix(rules, "#")
		default:
			n := min(margin, len(indent))
			out[i+1] = line[:n] + "#" + line[n:]
		}
	}
	return out
}
