// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"elsa/internal/rules"
	"elsa/pkg/client"
	"elsa/pkg/groups"
)

// named are the groups that names and patterns on the command line stand for, each
// once. A pattern that matches none is an error; a name is left to the service.
func (c *ctl) named(ctx context.Context, args []string) (names []string, err error) {
	var gs []client.Group
	if slices.ContainsFunc(args, groups.IsPattern) {
		if gs, err = c.client().Groups(ctx); err != nil {
			return nil, err
		}
	}
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, arg := range args {
		if !groups.IsPattern(arg) {
			add(arg)
			continue
		}
		n := len(names)
		for _, g := range gs {
			if rules.Glob(arg, g.Name) {
				add(g.Name)
			}
		}
		if n == len(names) && !slices.ContainsFunc(names, func(name string) bool { return rules.Glob(arg, name) }) {
			return nil, fmt.Errorf("no group's name matches %s", arg)
		}
	}
	return names, nil
}

func renameCommand(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use:   "rename NAME NEW",
		Short: "Give a group another name",
		Long: `Give a group another name. Its bill, members and history stay. Its series in
Prometheus go on under the new name, and rows that were archived before keep
the old one. A name that a rule could make is for groups of root.`,
		Example: "  elsactl group rename web web/shop",
		Args:    between(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := c.client().RenameGroup(cmd.Context(), args[0], client.RenameRequest{Name: args[1]})
			if err != nil {
				return err
			}
			return c.print(g, func() { fmt.Fprintf(c.stdout, "renamed group %s to %s\n", args[0], g.Name) })
		},
		ValidArgsFunction: c.completeGroup,
	}
}

func mergeCommand(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use:   "merge NAME... INTO",
		Short: "Merge groups into another",
		Long: `Merge groups into another, which is there already: their members, bills and
history go to it, and they are deleted. Who was in several of them counts once.
No total changes. NAME may be a pattern ('ci/old-*'). It cannot be undone.

You must be allowed to change all of them.`,
		Example: "  elsactl group merge ci-2025 ci-2026 ci",
		Args:    between(2, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			into := args[len(args)-1]
			if groups.IsPattern(into) {
				return badUsage("%s is a pattern; the last argument is the name of the group that takes up the others", into)
			}
			names, err := c.named(cmd.Context(), args[:len(args)-1])
			if err != nil {
				return err
			}
			if names = slices.DeleteFunc(names, func(name string) bool { return name == into }); len(names) == 0 {
				return badUsage("group %s cannot be merged into itself", into)
			}
			cl := c.client()
			var g client.Group
			for _, name := range names {
				if g, err = cl.MergeGroup(cmd.Context(), into, client.MergeRequest{From: name}); err != nil {
					return err
				}
				if c.format == "table" {
					fmt.Fprintf(c.stdout, "merged group %s into %s\n", name, into)
				}
			}
			return c.print(g, func() {})
		},
		ValidArgsFunction: c.completeGroups,
	}
}

func reopenCommand(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use:   "reopen NAME",
		Short: "Let processes be added to a closed group again",
		Long: `Let processes be added to a closed group again. A temporary group is closed
again when it has been without processes for a minute.`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := c.client().ReopenGroup(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.print(g, func() { fmt.Fprintf(c.stdout, "reopened group %s\n", g.Name) })
		},
		ValidArgsFunction: c.completeGroup,
	}
}

func labelCommand(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use:   "label NAME KEY=VALUE... KEY-...",
		Short: "Change labels of groups",
		Long: `Change labels of a group, or of all that match a pattern ('ci/*'): KEY=VALUE sets
one, and KEY- removes it. Others stay.`,
		Example: `  elsactl group label web team=shop tier-
  elsactl group label 'ci/*' team=core`,
		Args: between(2, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := client.LabelRequest{Set: map[string]string{}}
			for _, l := range args[1:] {
				k, v, set := strings.Cut(l, "=")
				key, remove := strings.CutSuffix(l, "-")
				switch {
				case set && k != "":
					r.Set[k] = v
				case !set && remove && key != "":
					r.Remove = append(r.Remove, key)
				default:
					return badUsage("%q is neither KEY=VALUE nor KEY-", l)
				}
			}
			names, err := c.named(cmd.Context(), args[:1])
			if err != nil {
				return err
			}
			cl := c.client()
			gs := make([]client.Group, len(names))
			for i, name := range names {
				if gs[i], err = cl.LabelGroup(cmd.Context(), name, r); err != nil {
					return err
				}
			}
			return c.print(gs, func() {
				for _, g := range gs {
					fmt.Fprintf(c.stdout, "group %s has labels %s\n", g.Name, orNone(labelText(g.Labels)))
				}
			})
		},
		ValidArgsFunction: c.completeGroup,
	}
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}
