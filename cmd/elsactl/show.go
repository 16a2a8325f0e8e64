// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func showCommand(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show a group and its live members",
		Long: `Show a group and its live members. CPU is what a member itself used since it
began, which may be longer than it is in the group.`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := c.client().Group(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.printAs(g, g.Members, func() {
				head := newTable()
				head.row("name", g.Name)
				head.row("id", fmt.Sprint(g.ID))
				head.row("state", g.State)
				head.row("owner", userName(g.Owner))
				head.row("created", clock(g.Created))
				if !g.Closed.IsZero() {
					head.row("closed", clock(g.Closed))
				}
				if g.Temporary {
					head.row("kept", "some time after its last process ended (elsad --run-retention)")
				}
				if len(g.Labels) > 0 {
					head.row("labels", labelText(g.Labels))
				}
				head.row("members", fmt.Sprint(len(g.Members)))
				head.write(c.stdout)
				if len(g.Members) == 0 {
					return
				}
				fmt.Fprintln(c.stdout)
				t := newTable("PID>", "PPID>", "STARTED", "CPU>", "COMMAND", "GROUPS")
				for _, m := range g.Members {
					t.row(fmt.Sprint(m.PID), fmt.Sprint(m.PPID), clock(m.Started), seconds(m.CPUSeconds), m.Command, strings.Join(m.Groups, " "))
				}
				t.write(c.stdout)
			})
		},
		ValidArgsFunction: c.completeGroup,
	}
}
