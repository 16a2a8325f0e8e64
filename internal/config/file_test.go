// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestParseFile(t *testing.T) {
	cfg := &Config{}
	flags := pflag.NewFlagSet("elsad", pflag.ContinueOnError)
	cfg.Flags(flags)
	if err := flags.Parse([]string{"--acct", "off"}); err != nil {
		t.Fatal(err)
	}
	set, err := parseFile(strings.NewReader(`
# a comment
acct: own
commit-interval: 3s
metrics.max-groups: 7
rules:
  list: [{group: a, command: make}]
`), flags, &Sections{})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Acct != "off" || cfg.CommitInterval != 3*time.Second || cfg.MaxGroups != 7 || len(set.Rules) != 1 {
		t.Errorf("acct %q, interval %v, groups %d, %d rules; want off (the command line wins), 3s, 7, 1",
			cfg.Acct, cfg.CommitInterval, cfg.MaxGroups, len(set.Rules))
	}
}

func TestParseFileErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"unknown key", "a: 1\nstate-dirs: x", "line 1: unknown key \"a\""},
		{"not in a file", "check: true", "line 1: unknown key \"check\""},
		{"bad value", "\ncommit-interval: often", "line 2: bad commit-interval \"often\""},
		{"a list", "- acct", "line 1: need keys"},
		{"nested", "acct: {own: 1}", "line 1: acct needs one value"},
		{"bad rule", "acct: own\nrules:\n  list:\n  - {group: a}", "line 4: rule for group a has no condition"},
		{"twice", "acct: own\nacct: off", "line 2: \"acct\" is there twice"},
		{"two documents", "acct: own\n---\nacct: off", "line 2: a second document"},
		{"much", "# " + strings.Repeat("x", maxFile), "it has more than"},
		{"budget of nothing", "budgets:\n- {group: ci}", "line 2: cpu is \"\"; use hours"},
		{"budget of no group", "budgets:\n- {cpu: 1h}", "line 2: bad group name"},
		{"budget below nothing", "budgets:\n- {group: ci, cpu: -1h}", "line 2: cpu is \"-1h\""},
		{"budget of what", "budgets:\n- {group: ci, gpu: 1h}", "line 2: unknown key \"gpu\""},
		{"budgets of one", "budgets: {group: ci}", "line 1: budgets needs a list"},
		{"no YAML", "acct: [", "yaml:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			flags := pflag.NewFlagSet("elsad", pflag.ContinueOnError)
			new(Config).Flags(flags)
			if _, err := parseFile(strings.NewReader(tt.text), flags, &Sections{}); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, want an error that begins with %q", err, tt.want)
			}
		})
	}
}

func TestDays(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"90d", "90d"}, {"1.5d", "36h0m0s"}, {"48h", "2d"}, {"36h", "36h0m0s"},
		{"d", ""}, {"-1d", ""}, {"x", ""}, {"7", ""}, {"99999999d", ""},
	} {
		var d Days
		err := d.Set(tc.in)
		switch {
		case tc.want == "" && err == nil:
			t.Errorf("%q is taken as %v", tc.in, &d)
		case tc.want != "" && (err != nil || d.String() != tc.want):
			t.Errorf("%q: %v, %v; want %s", tc.in, &d, err, tc.want)
		}
	}
}
