// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"elsa/pkg/groups"
)

// deleted is a group that is no more.
type deleted struct {
	Deleted string `json:"deleted"`
}

func deleteCommand(c *ctl) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   "delete NAME... [--dry-run]",
		Short: "Remove groups and their bills",
		Long: `Remove groups and their bills for good; NAME may be a pattern ('ci/*'). Their
members run on; those that are in no other group are ungrouped from then on.`,
		Example: `  elsactl group delete 'ci/2025-*' --dry-run`,
		Args:    between(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			names, err := c.named(cmd.Context(), args)
			if err != nil {
				return err
			}
			cl := c.client()
			gone := make([]deleted, len(names))
			for i, name := range names {
				if dry {
					if _, err := cl.Group(cmd.Context(), name); err != nil {
						return err
					}
				} else if err := cl.DeleteGroup(cmd.Context(), name); err != nil {
					return err
				}
				gone[i].Deleted = name
				if c.format == "table" {
					fmt.Fprintf(c.stdout, "%s group %s\n", map[bool]string{false: "deleted", true: "would delete"}[dry], name)
				}
			}
			if len(args) == 1 && !groups.IsPattern(args[0]) {
				return c.print(gone[0], func() {})
			}
			return c.print(gone, func() {})
		},
		ValidArgsFunction: c.completeGroups,
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say which groups would go, and leave them")
	return cmd
}
