// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func closeCommand(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use:   "close NAME",
		Short: "Let no more processes be added to a group",
		Long: `Let no more processes be added to a group. Its members stay in it, and so do
the processes they start. The bill is kept.`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := c.client().CloseGroup(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.print(g, func() { fmt.Fprintf(c.stdout, "closed group %s\n", g.Name) })
		},
		ValidArgsFunction: c.completeGroup,
	}
}
