// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"elsa/pkg/client"
	"elsa/pkg/proc"
)

func addCommand(c *ctl) *cobra.Command {
	var r client.AddRequest
	var owner uint32
	p := pick{root: proc.Default, names: userName}
	cmd := &cobra.Command{
		Use:   "add NAME [PID...] [--unit UNIT] [--cgroup PATH] [--user USER] [--tree] [--whole-life] [--move]",
		Short: "Put running processes in a group",
		Long: `Put running processes in a group: all that are named, or none when one of
them does not exist. What they start from then on is in the group by itself.
They are charged from this moment on. A process may be in several groups.

Instead of process ids, --unit, --cgroup and --user name all that run now in a
unit of systemd, in a control group or below, or of a user; of several of these
a process must fit all. What is started in them later by others, as when a
service restarts, takes a rule; see elsa.yaml(5).

Who is no admin can take processes out of their other groups (--move) only
where those are its own. An admin who puts processes in the group of a user
whose they are not says so (--owner), since that user will see them.`,
		Example: `  elsactl group add web $(pidof -s nginx) --tree
  elsactl group add web --unit nginx --whole-life`,
		Args: between(1, -1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			switch {
			case len(args) == 1 && !p.given():
				return between(2, -1)(cmd, args)
			case len(args) > 1 && p.given():
				return badUsage("process ids and --unit, --cgroup or --user: use one of these")
			}
			if r.PIDs, err = parsePIDs(args[1:]); err != nil {
				return err
			}
			if cmd.Flags().Changed("owner") {
				r.Owner = &owner
			}
			var a client.AddResult
			if p.given() {
				a.Added, err = p.add(cmd.Context(), c.client(), args[0], r)
			} else {
				a, err = c.client().AddMembers(cmd.Context(), args[0], r)
			}
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
	cmd.Flags().StringVar(&p.unit, "unit", "", "add all processes of the systemd unit `UNIT`; nginx is nginx.service")
	cmd.Flags().StringVar(&p.cgroup, "cgroup", "", "add all processes of the control group `PATH`, and below it")
	cmd.Flags().StringVar(&p.user, "user", "", "add all processes of `USER`, a name or a uid")
	cmd.Flags().BoolVar(&r.Tree, "tree", false, "add their live descendants too")
	cmd.Flags().BoolVar(&r.WholeLife, "whole-life", false, "charge what they used since they began, not only from now on")
	cmd.Flags().BoolVar(&r.Move, "move", false, "take them out of every other group")
	cmd.Flags().Uint32Var(&owner, "owner", 0, "let the group be that of this `UID`, though they are not its processes")
	return cmd
}
