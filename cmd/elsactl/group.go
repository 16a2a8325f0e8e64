// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strconv"

	"github.com/spf13/cobra"
)

func groupCommand(c *ctl) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "group COMMAND",
		Short: "Make and change groups, and see who is in them",
		Args:  noVerb,
		RunE:  needsVerb,
	}
	cmd.AddCommand(createCommand(c), addCommand(c), removeCommand(c), listCommand(c), showCommand(c), fillCommand(c),
		closeCommand(c), reopenCommand(c), renameCommand(c), mergeCommand(c), labelCommand(c), deleteCommand(c))
	return cmd
}

// parsePIDs reads process ids from the command line.
func parsePIDs(args []string) ([]int, error) {
	pids := make([]int, 0, len(args))
	for _, a := range args {
		pid, err := strconv.ParseInt(a, 10, 32)
		if err != nil || pid < 1 {
			return nil, badUsage("%q is no process id; use a positive number", a)
		}
		pids = append(pids, int(pid))
	}
	return pids, nil
}
