// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"elsa/internal/config"
	"elsa/internal/escape"
	"elsa/internal/ruleset"
)

// ruleSet is a set as rules list prints it.
type ruleSet struct {
	Name  string `json:"name"`
	On    bool   `json:"on"`
	About string `json:"about"`
}

func rulesListCommand(c *ctl) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "list [--config FILE]",
		Short: "List the ready sets of rules, and which are on",
		Long: `List the ready sets of rules, which are on, and how many rules the file has of its
own. A set is switched on by elsactl rules enable.`,
		Example: `  elsactl rules list`,
		Args:    between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := os.ReadFile(file)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("read configuration: %w", err)
			}
			list := []ruleSet{}
			for _, s := range ruleset.Sets(string(text)) {
				list = append(list, ruleSet{s.Name, s.On, s.About})
			}
			for _, s := range ruleset.Ready() {
				if !slices.ContainsFunc(list, func(l ruleSet) bool { return l.Name == s.Name }) {
					list = append(list, ruleSet{s.Name, false, s.About})
				}
			}
			return c.print(list, func() {
				table := newTable("SET", "STATE", "WHAT")
				for _, s := range list {
					state := "off"
					if s.On {
						state = "on"
					}
					table.row(escape.Text(s.Name), state, escape.Text(s.About))
				}
				table.write(c.stdout)
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	configFlag(cmd, &file)
	return cmd
}

func rulesSwitchCommand(c *ctl, verb string, on bool) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   verb + " [--config FILE] SET…",
		Short: map[bool]string{true: "Switch ready sets of rules on", false: "Switch sets of rules off"}[on],
		Args:  between(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.editRules(file, func(text string) (string, error) {
				for _, name := range args {
					var err error
					if text, err = ruleset.Switch(text, name, on); err != nil {
						return "", err
					}
				}
				return text, nil
			})
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) (names []string, _ cobra.ShellCompDirective) {
			for _, s := range ruleset.Ready() {
				names = append(names, s.Name)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
	if on {
		cmd.Long = `Switch ready sets of rules on in the configuration file, and have elsad read it.
Processes that run already are looked at, too. All else in the file stays as it is,
comments included. The new file is checked as elsactl rules check would, and takes
the old one's place at once. A file that is not written as is expected is left alone.`
		cmd.Example = `  elsactl rules enable users
  elsactl rules enable ci containers`
	} else {
		cmd.Long = `Switch sets of rules off: each of their lines becomes a comment. Groups and their
bills stay, and so does who is in them.`
		cmd.Example = `  elsactl rules disable users`
	}
	configFlag(cmd, &file)
	return cmd
}

func rulesAddCommand(c *ctl) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "add [--config FILE] GROUP CONDITION…",
		Short: "Add a rule",
		Long: `Add a rule to the configuration file, and have elsad read it: who fulfils all
conditions is put in GROUP, which may be a template. A condition that is given more
than once takes any of its patterns, less those that begin with !; see elsa.yaml(5).`,
		Example: `  elsactl rules add web --command nginx --user www-data
  elsactl rules add 'build/{{.User}}' --command make --command 'ninja*'`,
		Args:              between(1, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	names := []string{"command", "executable", "user", "unix-group", "cgroup", "parent", "args"}
	patterns := map[string]*[]string{}
	for _, name := range names {
		patterns[name] = cmd.Flags().StringArray(name, nil, "condition: `PATTERN` of the "+name)
	}
	configFlag(cmd, &file)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		r := ruleset.Rule{Group: args[0]}
		for _, name := range names {
			if p := *patterns[name]; len(p) > 0 {
				r.Conditions = append(r.Conditions, ruleset.Condition{Name: name, Patterns: p})
			}
		}
		if len(r.Conditions) == 0 {
			return badUsage("elsactl rules add: a rule needs a condition, as in --command make")
		}
		return c.editRules(file, func(text string) (string, error) { return ruleset.Add(text, r) })
	}
	return cmd
}

func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "config", config.DefaultFile, "the configuration is in `FILE`")
}

// edited is what a change of the rules did.
type edited struct {
	File    string `json:"file"`
	Changed bool   `json:"changed"`
	Read    bool   `json:"read"`
}

// editRules changes a configuration file, and has the elsad that uses it read it.
func (c *ctl) editRules(path string, change func(text string) (string, error)) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // the link stays one
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = []byte(ruleset.File), nil
	}
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	changed, err := change(string(text))
	if err != nil {
		return fmt.Errorf("change rules in %s: %w", path, err)
	}
	done := edited{File: path, Changed: changed != string(text)}
	if done.Changed {
		if err := replaceConfig(path, changed); err != nil {
			return fmt.Errorf("change rules: %w", err)
		}
		if done.Read, err = c.reload(path); err != nil {
			c.complain(err)
		}
	}
	return c.print(done, func() {
		switch {
		case !done.Changed:
			fmt.Fprintf(c.stdout, "%s: nothing to change\n", path)
		case done.Read:
			fmt.Fprintf(c.stdout, "%s: changed; elsad reads it\n", path)
		default:
			fmt.Fprintf(c.stdout, "%s: changed; have elsad read it: systemctl reload elsad\n", path)
		}
	})
}

// replaceConfig puts a text in the place of a configuration file once it is checked and on
// disk. Mode and owner stay.
func replaceConfig(path, text string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".elsa-*.yaml")
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if _, err := f.WriteString(text); err != nil {
		return err
	}
	if err := likeFile(f, path); err != nil {
		return err
	}
	if _, err := readConfig(f.Name()); err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), f.Name(), "as it would be"))
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
