// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"elsa/internal/build"
	"elsa/pkg/client"
)

// ctl is what the verbs share: the global flags and where output goes.
type ctl struct {
	socket, format string
	stdout, stderr io.Writer
	// started is true once the command line was understood and a verb runs.
	started bool
}

func (c *ctl) client() *client.Client { return client.New(c.socket) }

// formats are the values of --output.
var formats = []string{"table", "json", "csv"}

func newRoot(c *ctl) *cobra.Command {
	root := &cobra.Command{
		Use:   "elsactl [--socket PATH] [-o FORMAT] COMMAND",
		Short: "Account for groups of processes",
		Long: `elsactl asks the accounting service elsad. It makes groups and puts running
processes in them; every process these start belongs to the group from its
first instruction on, and what it used is on the group's bill when it ends.

Group names are 1 to 128 letters, digits and the characters . _ - / : @`,
		Example: `  elsactl run -- make -j4                what did this build cost?
  elsactl group create web
  elsactl group add web 4711 --tree      a running process and its descendants
  elsactl usage                          all bills, ended and live processes
  elsactl usage web -o json              in base units, for a program`,
		Version:       build.Version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noVerb,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(formats, c.format) && !(c.format == "parquet" && cmd.Name() == "processes") {
				return badUsage("unknown output format %q; use %s", c.format, strings.Join(formats, ", "))
			}
			c.started = true
			return nil
		},
	}
	// One usage line is enough: commands that only have verbs say COMMAND.
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(),
		"{{if .HasAvailableSubCommands}}\n  {{.CommandPath}} [command]{{end}}", "", 1))
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return badUsage("%w (see %s --help)", err, cmd.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.StringVar(&c.socket, "socket", client.DefaultSocket, "ask the elsad whose control socket is at `PATH`")
	flags.StringVarP(&c.format, "output", "o", "table", "print in `FORMAT` table, json or csv; the latter two in bytes and seconds")
	root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	root.AddCommand(groupCommand(c), runCommand(c), markCommand(c), usageCommand(c), reportCommand(c), billCommand(c), budgetCommand(c), explainCommand(c),
		processesCommand(c), fleetCommand(c), rulesCommand(c), doctorCommand(c), topCommand(c), statusCommand(c), backupCommand(c), restoreCommand(c), manCommand())
	uniform(root)
	root.InitDefaultCompletionCmd() // or cobra adds it later
	if cmd, _, err := root.Find([]string{"completion"}); err == nil {
		cmd.Args = noVerb
		cmd.RunE = needsVerb
	}
	return root
}

// uniform sets what all commands have alike.
func uniform(cmd *cobra.Command) {
	cmd.DisableFlagsInUseLine = true // the usage lines name them
	cmd.SuggestionsMinimumDistance = 2
	for _, sub := range cmd.Commands() {
		uniform(sub)
	}
}

// needsVerb is what a command does that only has verbs.
func needsVerb(cmd *cobra.Command, _ []string) error {
	return badUsage("%s needs a command (see %s --help)", cmd.CommandPath(), cmd.CommandPath())
}

// noVerb refuses the arguments of a command that only has verbs.
func noVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var near string
	if s := cmd.SuggestionsFor(args[0]); len(s) > 0 {
		near = fmt.Sprintf("; did you mean %s?", strings.Join(s, " or "))
	}
	return badUsage("%s has no command %q%s (see %s --help)", cmd.CommandPath(), args[0], near, cmd.CommandPath())
}

// between wants that many arguments; most < 0 is no bound.
func between(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return badUsage("%s: an argument is missing; use %s", cmd.CommandPath(), cmd.UseLine())
		case most >= 0 && len(args) > most:
			return badUsage("%s: %q is too much; use %s", cmd.CommandPath(), args[most], cmd.UseLine())
		}
		return nil
	}
}
