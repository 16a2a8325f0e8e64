// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"elsa/pkg/client"
)

func createCommand(c *ctl) *cobra.Command {
	var labels []string
	cmd := &cobra.Command{
		Use:     "create NAME [--label KEY=VALUE]...",
		Short:   "Make a new group",
		Long:    "Make a new group, empty and open. You own it.",
		Example: "  elsactl group create web --label team=shop --label tier=front",
		Args:    between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := client.CreateGroupRequest{Name: args[0], Labels: map[string]string{}}
			for _, l := range labels {
				k, v, ok := strings.Cut(l, "=")
				if !ok || k == "" {
					return badUsage("label %q is not KEY=VALUE", l)
				}
				r.Labels[k] = v
			}
			g, err := c.client().CreateGroup(cmd.Context(), r)
			if err != nil {
				return err
			}
			return c.print(g, func() { fmt.Fprintf(c.stdout, "created group %s\n", g.Name) })
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringArrayVar(&labels, "label", nil, "attach `KEY=VALUE`, free text, to the group; may be repeated")
	return cmd
}
