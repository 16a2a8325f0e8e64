// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"elsa/internal/rules"
)

// parse returns the rules of a file.
func parse(t *testing.T, text string) *rules.Set {
	t.Helper()
	var doc struct{ Rules yaml.Node }
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	set, err := rules.Parse(&doc.Rules)
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return set
}

func enable(t *testing.T, text string, names ...string) string {
	t.Helper()
	for _, name := range names {
		var err error
		if text, err = Switch(text, name, true); err != nil {
			t.Fatalf("enable %s: %v", name, err)
		}
	}
	return text
}

// The file as installed has no rule, each set has, and switching one on and off again
// leaves the file as it was.
func TestReady(t *testing.T) {
	if n := len(parse(t, File).Rules); n != 0 {
		t.Fatalf("the file as installed has %d rules", n)
	}
	var names []string
	for _, s := range Ready() {
		names = append(names, s.Name)
		if s.On || s.About == "" {
			t.Errorf("%s: on is %v, about %q", s.Name, s.On, s.About)
		}
		on := enable(t, File, s.Name)
		if len(parse(t, on).Rules) == 0 {
			t.Errorf("%s has no rules", s.Name)
		}
		off, err := Switch(on, s.Name, false)
		if diff := cmp.Diff(File, off); diff != "" || err != nil {
			t.Errorf("%s on and off again: %v\n%s", s.Name, err, diff)
		}
		if again := enable(t, on, s.Name); again != on {
			t.Errorf("%s on twice is another file", s.Name)
		}
	}
	if diff := cmp.Diff([]string{"users", "sessions", "units", "ci", "containers", "slurm"}, names); diff != "" {
		t.Error(diff)
	}
	parse(t, enable(t, File, names...))
}

const own = `# mine
acct: "off"   # theirs
rules:
    match: all
    list:
    # why
    - {group: a, command: make}
    - group: b
      command:
        - x
        - y   # because

# below
commit-interval: 3s`

// What is in a file stays, whatever its style.
func TestSwitchOwnFile(t *testing.T) {
	got := enable(t, own, "units")
	set := parse(t, got)
	if len(set.Rules) != 3 || set.Rules[2].Group != `unit/{{.CgroupPart "*.service"}}` {
		t.Errorf("rules are %v", set.Rules)
	}
	for line := range strings.Lines(own) {
		if !strings.Contains(got, strings.TrimSuffix(line, "\n")) {
			t.Errorf("the line %q is gone:\n%s", line, got)
		}
	}
	off, err := Switch(got, "units", false)
	if err != nil || len(parse(t, off).Rules) != 2 {
		t.Errorf("off: %v:\n%s", err, off)
	}
	for _, empty := range []string{"", "# nothing\n", "acct: own", "rules:\n  match: all\n  list:\n", "rules:\n  list:\n  match: all\n"} {
		if n := len(parse(t, enable(t, empty, "users")).Rules); n != 1 {
			t.Errorf("%q: %d rules", empty, n)
		}
	}
}

// What is not understood is refused.
func TestSwitchRefused(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"rules: {match: all, list: []}", "not written line by line"},
		{"rules:\n  match: all\n  list: []", "in brackets"},
		{"rules:\n  match: all\n", "have no list"},
		{"rules:\n  list:\n  - {group: a, command: b}\n", "match: all"},
		{"rules: [", "yaml:"},
		{"{acct: own}\n", "an edit by hand"},
		{"acct: own\n...\n", "an edit by hand"},
	} {
		got, err := Switch(tt.text, "users", true)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %q, %v; want an error with %q", tt.text, got, err, tt.want)
		}
	}
	if _, err := Switch(File, "none", true); err == nil || !strings.Contains(err.Error(), "use users, sessions") {
		t.Errorf("an unknown set: %v", err)
	}
	// A block within a text is no set.
	text := "rules:\n  match: all\n  list:\n  - group: a\n    args: |\n      x\n      # set users\n      #- group: u\n      # end of set\n"
	if got, err := Switch(text, "users", true); err == nil {
		t.Errorf("a text was changed:\n%s", got)
	}
}

func TestAdd(t *testing.T) {
	text, err := Add(own, Rule{"web/{{.User}}", []Condition{{"command", []string{"nginx", `a"b`}}, {"user", []string{"*", "!root"}}}})
	if err != nil {
		t.Fatal(err)
	}
	r := parse(t, text).Rules
	if len(r) != 3 || r[2].Group != "web/{{.User}}" {
		t.Errorf("rules are %v:\n%s", r, text)
	}
}

// Whatever the file, the change is the set alone, or none.
func FuzzSwitch(f *testing.F) {
	f.Add(File, "users")
	f.Add(own, "slurm")
	f.Fuzz(func(t *testing.T, text, name string) {
		on, err := Switch(text, name, true)
		if err != nil {
			return
		}
		var was, is struct{ Rules struct{ List []any } }
		if yaml.Unmarshal([]byte(text), &was) != nil {
			return
		}
		if err := yaml.Unmarshal([]byte(on), &is); err != nil || len(is.Rules.List) < len(was.Rules.List) {
			t.Errorf("%v, %d rules, then %d:\n%s\n---\n%s", err, len(was.Rules.List), len(is.Rules.List), text, on)
		}
	})
}
