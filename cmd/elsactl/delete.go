// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func deleteCommand(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use:   "delete NAME",
		Short: "Remove a group and its bill",
		Long: `Remove a group and its bill for good. Its members run on; those that are in
no other group are ungrouped from then on.`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.client().DeleteGroup(cmd.Context(), args[0]); err != nil {
				return err
			}
			gone := struct {
				Deleted string `json:"deleted"`
			}{args[0]}
			return c.print(gone, func() { fmt.Fprintf(c.stdout, "deleted group %s\n", args[0]) })
		},
		ValidArgsFunction: c.completeGroup,
	}
}
