// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"elsa/pkg/client"
)

func removeCommand(c *ctl) *cobra.Command {
	var r client.RemoveRequest
	cmd := &cobra.Command{
		Use:     "remove NAME PID... [--tree]",
		Short:   "Take running processes out of a group",
		Long:    "Take running processes out of a group. What they used so far stays on its bill.",
		Example: "  elsactl group remove web 4711 --tree",
		Args:    between(2, -1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if r.PIDs, err = parsePIDs(args[1:]); err != nil {
				return err
			}
			a, err := c.client().RemoveMembers(cmd.Context(), args[0], r)
			if err != nil {
				return err
			}
			return c.printAs(a, pidRows(a.Removed), func() {
				if len(a.Removed) == 0 {
					fmt.Fprintf(c.stdout, "nothing to remove: group %s did not have them\n", args[0])
					return
				}
				fmt.Fprintf(c.stdout, "removed %s from group %s: %s\n", count(len(a.Removed), "process"), args[0], numbers(a.Removed))
			})
		},
		ValidArgsFunction: c.completeGroup,
	}
	cmd.Flags().BoolVar(&r.Tree, "tree", false, "take their live descendants out too")
	return cmd
}
