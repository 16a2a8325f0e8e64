// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"strings"
	"testing"
)

func parsed(t testing.TB, text string) *Set {
	t.Helper()
	s, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestReserves: what a rule can name is kept for it, and nothing else.
func TestReserves(t *testing.T) {
	for _, tt := range []struct {
		group, name string
		want        bool
	}{
		{"ci", "ci", true},
		{"ci", "ci2", false},
		{"ci", "c", false},
		{"user/{{.User}}", "user/vic", true},
		{"user/{{.User}}", "users/vic", false},
		{"user/{{.User}}", "user", false},
		{"{{.User}}/jobs", "vic/jobs", true},
		{"{{.User}}/jobs", "vic/work", false},
		{"a b/{{.UID}}", "a_b/7", true}, // as expand cleans it
		{"a*/{{.UID}}", "a_/7", true},
		{"a*/{{.UID}}", "abc/7", false},
		{"{{if .UID}}x{{else}}y{{end}}", "anything", true},
		{"{{.Unit}}", "anything", true},
		{"j/{{.Command}}/end", "j/" + strings.Repeat("x", 126), true}, // cut
		{"j/{{.Command}}/end", "k/" + strings.Repeat("x", 126), false},
		{strings.Repeat("y", 130) + "{{.UID}}", strings.Repeat("y", 128), true},
	} {
		s := parsed(t, `{list: [{group: none, command: z}, {group: "`+tt.group+`", command: x}]}`)
		if r := s.Reserves(tt.name); (r != nil) != tt.want || r != nil && r.Group != tt.group {
			t.Errorf("group %q reserves %q: %v, want %v", tt.group, tt.name, r, tt.want)
		}
	}
}

// FuzzReserves: a name that a rule makes is one that it reserves.
func FuzzReserves(f *testing.F) {
	for _, s := range []string{"", "x", "a/b", "é", strings.Repeat("long", 60)} {
		f.Add(s, s)
	}
	sets := []*Set{}
	for _, g := range []string{"{{.Command}}", "a/{{.Command}}/{{.UID}}", "{{.Command}}-{{.Exe}} ü", "{{if .Command}}p{{.Command}}{{end}}t", strings.Repeat("k", 127) + "{{.Command}}z"} {
		sets = append(sets, parsed(f, `{list: [{group: "`+g+`", command: "*"}]}`))
	}
	f.Fuzz(func(t *testing.T, command, exe string) {
		for _, s := range sets {
			found, _ := s.Match(fuzzed{command: command, exe: exe})
			for _, m := range found {
				if s.Reserves(m.Group) == nil {
					t.Errorf("rule %v made %q, which it does not reserve", m.Rule, m.Group)
				}
			}
		}
	})
}

type fuzzed struct {
	nobody
	command, exe string
}

func (f fuzzed) Command() string    { return f.command }
func (f fuzzed) Executable() string { return f.exe }
