// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func listCommand(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List all groups",
		Args:  between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			gs, err := c.client().Groups(cmd.Context())
			if err != nil {
				return err
			}
			return c.print(gs, func() {
				t := newTable("NAME", "ID>", "STATE", "OWNER", "CREATED", "LABELS")
				for _, g := range gs {
					users().User(g.Owner) // all are looked up at once
				}
				for _, g := range gs {
					t.row(g.Name, fmt.Sprint(g.ID), g.State, userName(g.Owner), clock(g.Created), labelText(g.Labels))
				}
				t.write(c.stdout)
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}
