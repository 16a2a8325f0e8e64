// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"elsa/pkg/client"
)

func addCommand(c *ctl) *cobra.Command {
	var r client.AddRequest
	var owner uint32
	cmd := &cobra.Command{
		Use:   "add NAME PID... [--tree] [--whole-life] [--move]",
		Short: "Put running processes in a group",
		Long: `Put running processes in a group: all that are named, or none when one of
them does not exist. What they start from then on is in the group by itself.
They are charged from this moment on. A process may be in several groups.

Who is no admin can take processes out of their other groups (--move) only
where those are its own. An admin who puts processes in the group of a user
whose they are not says so (--owner), since that user will see them.`,
		Example: "  elsactl group add web $(pidof -s nginx) --tree",
		Args:    between(2, -1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if r.PIDs, err = parsePIDs(args[1:]); err != nil {
				return err
			}
			if cmd.Flags().Changed("owner") {
				r.Owner = &owner
			}
			a, err := c.client().AddMembers(cmd.Context(), args[0], r)
			if err != nil {
				return err
			}
			return c.printAs(a, pidRows(a.Added), func() {
				if len(a.Added) == 0 {
					fmt.Fprintf(c.stdout, "nothing to add: group %s had them already\n", args[0])
					return
				}
				fmt.Fprintf(c.stdout, "added %s to group %s: %s\n", count(len(a.Added), "process"), args[0], numbers(a.Added))
			})
		},
		ValidArgsFunction: c.completeGroup,
	}
	cmd.Flags().BoolVar(&r.Tree, "tree", false, "add their live descendants too")
	cmd.Flags().BoolVar(&r.WholeLife, "whole-life", false, "charge what they used since they began, not only from now on")
	cmd.Flags().BoolVar(&r.Move, "move", false, "take them out of every other group")
	cmd.Flags().Uint32Var(&owner, "owner", 0, "let the group be that of this `UID`, though they are not its processes")
	return cmd
}
