// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the manual page elsactl.1 to a directory",
		Hidden: true,
		Args:   between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return os.WriteFile(filepath.Join(args[0], "elsactl.1"), []byte(manual(cmd.Root())), 0o644)
		},
	}
}

// manual is elsactl.1 in the language of man(7), made of what --help says.
func manual(root *cobra.Command) string {
	var b strings.Builder
	section := func(name string) { fmt.Fprintf(&b, ".SH %s\n", name) }
	b.WriteString(".\\\" SPDX-License-Identifier: Apache-2.0\n.\\\" Made by elsactl man; do not edit.\n")
	b.WriteString(".TH ELSACTL 1 \"\" ELSA \"User Commands\"\n")
	section("NAME")
	fmt.Fprintf(&b, "elsactl \\- %s\n", roff(lowerFirst(root.Short)))
	section("SYNOPSIS")
	b.WriteString(".B elsactl\n.RI [ option ...]\n.I command\n.RI [ argument ...]\n")
	section("DESCRIPTION")
	paragraphs(&b, root.Long)
	section("OPTIONS")
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { option(&b, f) })
	b.WriteString(".TP\n.BR \\-h \", \" \\-\\-help\nsay what a command does\n")
	b.WriteString(".TP\n.BR \\-v \", \" \\-\\-version\nprint the version\n")
	section("COMMANDS")
	verbs(&b, root)
	section("EXIT STATUS")
	b.WriteString(".TP\n.B 0\ndone\n.TP\n.B 1\nrefused or failed; one line on standard error says why\n")
	b.WriteString(".TP\n.B 2\nthe command line makes no sense\n")
	b.WriteString(".PP\n.B elsactl run\nexits with the status of its command instead, and with 1 or 2 if it never ran it.\n")
	section("FILES")
	fmt.Fprintf(&b, ".TP\n.I %s\nthe control socket of\n.BR elsad (8)\n", roff(root.PersistentFlags().Lookup("socket").DefValue))
	section("EXAMPLES")
	example(&b, root.Example)
	section("SEE ALSO")
	b.WriteString(".BR elsad (8),\n.BR time (1),\n.BR acct (5)\n")
	return b.String()
}

// verbs describes every command that does something, subcommands in place.
func verbs(b *strings.Builder, parent *cobra.Command) {
	for _, cmd := range parent.Commands() {
		switch {
		case cmd.Hidden, cmd.Name() == "help":
		case cmd.HasSubCommands() && cmd.Name() != "completion":
			verbs(b, cmd)
		default:
			fmt.Fprintf(b, ".SS %s\n", roff(strings.TrimPrefix(cmd.UseLine(), "elsactl ")))
			if cmd.Name() == "completion" {
				b.WriteString("Print the completion script for a shell: bash, zsh, fish or powershell.\n")
				continue
			}
			text := cmd.Long
			if text == "" {
				text = cmd.Short + "."
			}
			paragraphs(b, text)
			cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
				if f.Name != "help" {
					option(b, f)
				}
			})
			if cmd.HasExample() {
				example(b, cmd.Example)
			}
		}
	}
}

func paragraphs(b *strings.Builder, text string) {
	for i, p := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			b.WriteString(".PP\n")
		}
		b.WriteString(roff(p) + "\n")
	}
}

func option(b *strings.Builder, f *pflag.Flag) {
	name, text := pflag.UnquoteUsage(f)
	b.WriteString(".TP\n.B ")
	if f.Shorthand != "" {
		fmt.Fprintf(b, "\\-%s, ", f.Shorthand)
	}
	fmt.Fprintf(b, "\\-\\-%s", roff(f.Name))
	if name != "" {
		fmt.Fprintf(b, " \\fI%s\\fR", roff(name))
	}
	fmt.Fprintf(b, "\n%s", roff(text))
	if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" {
		fmt.Fprintf(b, " (default: %s)", roff(f.DefValue))
	}
	b.WriteString("\n")
}

func example(b *strings.Builder, text string) {
	fmt.Fprintf(b, ".PP\n.nf\n.RS\n")
	for line := range strings.Lines(text) {
		b.WriteString(roff(strings.TrimPrefix(strings.TrimRight(line, "\n"), "  ")) + "\n")
	}
	b.WriteString(".RE\n.fi\n")
}

// roff escapes text for man(7), hyphens as such so that they can be copied.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }
