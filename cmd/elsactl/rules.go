// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"elsa/internal/config"
	"elsa/internal/escape"
	"elsa/internal/rules"
	"elsa/pkg/api"
	"elsa/pkg/client"
	"elsa/pkg/proc"
)

func rulesCommand(c *ctl) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules COMMAND",
		Short: "The rules by which groups fill themselves",
		Args:  noVerb,
		RunE:  needsVerb,
	}
	cmd.AddCommand(rulesListCommand(c), rulesSwitchCommand(c, "enable", true), rulesSwitchCommand(c, "disable", false), rulesAddCommand(c),
		rulesTestCommand(c), rulesCheckCommand(c))
	return cmd
}

func rulesTestCommand(c *ctl) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "test [--config FILE] PID",
		Short: "Say what the rules would do with a process, and why",
		Long: `Say what each rule would do with a process if it executed a program now: put it
in a group, or nothing, and why. Nothing is changed. The rules are those that
elsad uses, or with --config those of a file, so that it can be tried before
elsad reads it (systemctl reload elsad).

Rules are for root and members of the unix group elsa to try. With --config
elsactl looks at the process itself, as far as the caller may, and asks elsad
only which groups it is in.`,
		Example: `  elsactl rules test $(pgrep -n make)
  elsactl rules test --config /etc/elsa/new.yaml $$`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			pids, err := parsePIDs(args)
			if err != nil {
				return err
			}
			var t client.RulesTrial
			if file == "" {
				t, err = c.client().TryRules(cmd.Context(), pids[0])
			} else {
				t, err = c.tryFile(cmd.Context(), file, pids[0])
			}
			if err != nil {
				return err
			}
			return c.printAs(t, trialRows(&t), func() { c.trial(&t, file) })
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&file, "config", "", "try the rules of the configuration `FILE`, not those in use")
	return cmd
}

func rulesCheckCommand(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Check a configuration file, options and rules",
		Long: `Check a configuration file of elsad, options and rules, without elsad. An error
names the line. It warns of users and unix groups that nobody here has.`,
		Example: "  elsactl rules check /etc/elsa/elsa.yaml && systemctl reload elsad",
		Args:    between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := readConfig(args[0])
			if err != nil {
				return err
			}
			names := users()
			names.Want(set.Names())
			wait, cancel := context.WithTimeout(cmd.Context(), usersWait)
			defer cancel()
			names.Look(wait)
			for _, unknown := range set.Unknown(names) {
				c.complain(fmt.Errorf("warning: %s: nobody here has the name (getent)", unknown))
			}
			list := []checkedRule{}
			for i := range set.Rules {
				list = append(list, checkedRule{set.Rules[i].Line, set.Rules[i].Group})
			}
			return c.print(list, func() { fmt.Fprintf(c.stdout, "%s: ok: %s\n", args[0], count(len(list), "rule")) })
		},
	}
}

// checkedRule is a rule of a file that is in order.
type checkedRule struct {
	Line int    `json:"line"`
	Rule string `json:"rule"`
}

// readConfig reads a configuration file as elsad would.
func readConfig(path string) (*rules.Set, error) {
	var cfg config.Config
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	cfg.Flags(flags)
	set, err := config.ReadFile(path, flags)
	if err != nil {
		return nil, err
	}
	if err := cfg.Check(); err != nil {
		return nil, fmt.Errorf("read configuration %s: %w", path, err)
	}
	return set, nil
}

// grouped are the facts of a process with the groups that elsad says it is in.
type grouped struct {
	*rules.Process
	groups []string
}

func (g grouped) Groups() []string { return g.groups }

// tryFile tries the rules of a file.
func (c *ctl) tryFile(ctx context.Context, file string, pid int) (t client.RulesTrial, err error) {
	set, err := readConfig(file)
	if err != nil {
		return t, err
	}
	p, err := proc.Default.Process(int32(pid))
	if err != nil {
		return t, err
	}
	names := users()
	names.Want(set.Names())
	names.User(p.UID)
	names.UnixGroup(p.GID)
	wait, cancel := context.WithTimeout(ctx, usersWait)
	names.Look(wait)
	cancel()
	f := grouped{Process: rules.Look(proc.Default, p, names, nil)}
	closed := map[string]bool{}
	e, err := c.client().Explain(ctx, pid)
	if err == nil {
		for _, m := range e.Groups {
			f.groups = append(f.groups, m.Group)
		}
		var all []client.Group
		all, err = c.client().Groups(ctx)
		for _, g := range all {
			lapsed := g.Temporary && g.Labels["rule"] != "" // it may open again
			closed[g.Name] = g.State == "closed" && !lapsed || g.Owner != 0
		}
	}
	if err != nil {
		c.complain(fmt.Errorf("the process is taken to be in no group: %w", err))
	}
	return api.Try(set, pid, p.Start.Boot().Wall(proc.Booted()).Time(), f, func(g string) bool { return closed[g] }), nil
}

func (c *ctl) trial(t *client.RulesTrial, file string) {
	in := "no group"
	if len(t.Groups) > 0 {
		in = strings.Join(t.Groups, ", ")
	}
	fmt.Fprintf(c.stdout, "process %d (%s, user %s, started %s) is in %s\n", t.PID, escape.Text(t.Command), userName(t.UID), clock(t.Started), in)
	if len(t.Rules) == 0 {
		whose := "elsad has"
		if file != "" {
			whose = file + " has"
		}
		fmt.Fprintf(c.stdout, "%s no rules\n", whose)
		return
	}
	fmt.Fprintln(c.stdout)
	table := newTable("LINE>", "RULE", "OUTCOME", "WHY")
	for i := range t.Rules {
		v := &t.Rules[i]
		why := verdictReasons(v)
		table.row(fmt.Sprint(v.Line), v.Rule, v.Outcome, why[0])
		for _, more := range why[1:] {
			table.row("", "", "", more)
		}
	}
	table.write(c.stdout)
	if len(t.Joins) == 0 {
		fmt.Fprintln(c.stdout, "\nNo rule would put it in a group.")
		return
	}
	fmt.Fprintf(c.stdout, "\nIt would be put in: %s\n", strings.Join(t.Joins, ", "))
}

// verdictReasons are one line or more.
func verdictReasons(v *client.RuleVerdict) (lines []string) {
	switch v.Outcome {
	case "joins":
		return []string{"would be put in " + v.Group}
	case "member":
		return []string{"is in " + v.Group + " already"}
	case "closed":
		return []string{"group " + v.Group + " is closed and takes nobody"}
	case "unnamed":
		return []string{"the template makes an empty name"}
	case "skipped":
		return []string{"a rule before matched, and the first match wins"}
	}
	for _, cond := range v.Conditions {
		if cond.Fulfilled {
			continue
		}
		want := wanted(cond.Want)
		have := make([]string, 0, len(cond.Have))
		for _, h := range cond.Have {
			have = append(have, fmt.Sprintf("%q", h))
		}
		switch {
		case cond.Name == "parent" && len(have) == 0:
			lines = append(lines, "parent: it is in no group; want "+want)
		case len(have) == 0:
			lines = append(lines, cond.Name+" is not set; want "+want)
		case len(have) == 1 && cond.Have[0] == "":
			lines = append(lines, cond.Name+" is not known; want "+want)
		case cond.Name == "user", cond.Name == "unix-group": // name and number
			lines = append(lines, fmt.Sprintf("%s is %s (%s); want %s", cond.Name, have[0], cond.Have[1], want))
		default:
			lines = append(lines, fmt.Sprintf("%s is %s; want %s", cond.Name, strings.Join(have, ", "), want))
		}
	}
	return lines
}

// wanted says what patterns take, and what those with a ! leave out.
func wanted(patterns []string) string {
	var takes, leaves []string
	for _, p := range patterns {
		if out, found := strings.CutPrefix(p, "!"); found {
			leaves = append(leaves, out)
		} else {
			takes = append(takes, p)
		}
	}
	text := strings.Join(takes, " or ")
	if len(leaves) > 0 {
		text += " but not " + strings.Join(leaves, " or ")
	}
	return text
}

// trialRow is one rule as a line of CSV.
type trialRow struct {
	PID     int    `json:"pid"`
	Line    int    `json:"line"`
	Rule    string `json:"rule"`
	Outcome string `json:"outcome"`
	Group   string `json:"group"`
	Why     string `json:"why"`
}

func trialRows(t *client.RulesTrial) []trialRow {
	rows := []trialRow{}
	for i := range t.Rules {
		v := &t.Rules[i]
		rows = append(rows, trialRow{t.PID, v.Line, v.Rule, v.Outcome, v.Group, strings.Join(verdictReasons(v), "; ")})
	}
	return rows
}
