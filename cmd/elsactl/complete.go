// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// completeGroups offers the names of the groups that are not on the command
// line yet. A shell must not hang or print errors for it.
func (c *ctl) completeGroups(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	gs, err := c.client().Groups(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var offer []string
	for _, g := range gs {
		if !slices.Contains(args, g.Name) {
			offer = append(offer, cobra.CompletionWithDesc(g.Name, g.State))
		}
	}
	return offer, cobra.ShellCompDirectiveNoFileComp
}

// completeGroup offers group names for the first argument alone.
func (c *ctl) completeGroup(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.completeGroups(cmd, args, toComplete)
}
