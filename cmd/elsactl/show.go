// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"elsa/pkg/client"
	"elsa/pkg/groups"
)

func showCommand(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME...",
		Short: "Show a group and its live members",
		Long: `Show groups and their live members; NAME may be a pattern ('ci/*'). CPU is what
a member itself used since it began, which may be longer than it is in the
group. Of a group that a rule made for you, you see your own processes.`,
		Args: between(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			names, err := c.named(cmd.Context(), args)
			if err != nil {
				return err
			}
			cl := c.client()
			gs := make([]client.GroupDetail, len(names))
			for i, name := range names {
				if gs[i], err = cl.Group(cmd.Context(), name); err != nil {
					return err
				}
			}
			if len(args) == 1 && !groups.IsPattern(args[0]) {
				return c.printAs(gs[0], gs[0].Members, func() { c.show(&gs[0]) })
			}
			var rows []memberRow
			for i := range gs {
				for _, m := range gs[i].Members {
					rows = append(rows, memberRow{gs[i].Name, m})
				}
			}
			return c.printAs(gs, rows, func() {
				for i := range gs {
					if i > 0 {
						fmt.Fprintln(c.stdout)
					}
					c.show(&gs[i])
				}
			})
		},
		ValidArgsFunction: c.completeGroups,
	}
}

// memberRow is a member of one of several groups as a line of CSV.
type memberRow struct {
	Group string `json:"group"`
	client.Member
}

// show prints a group for a person.
func (c *ctl) show(g *client.GroupDetail) {
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
}
