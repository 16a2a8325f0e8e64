// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"elsa/pkg/client"
)

func usageCommand(c *ctl) *cobra.Command {
	var q client.UsageQuery
	var since string
	cmd := &cobra.Command{
		Use:   "usage [NAME...] [--since MARK] [--mine] [--wait]",
		Short: "Show what groups used",
		Long: `Show what groups used so far, their ended and live processes together; all
groups, or those that are named. MEMORY is the largest resident set of any one
process; READ and WRITTEN are what went from and to storage.

NAME may be a pattern, in which * stands for any text and ? for one character.
One that ends with a slash is a parent: ci/ is the sum of ci/*, in which a
process that is in several of these counts once.

Without names the rest of the machine is shown too. A process in several
groups counts in each, and once in (any group). (unattributed) is what nobody
could be charged with for certain. These and (ungrouped) add up to (total).

With --since it is what this shell and its children used since elsactl mark,
ended and live.

PRECISION says how well the CPU time of the ended processes is known: exact,
as the scheduler measured it; sampled by the tick, in microseconds; rounded
down to 10 ms each. The membership of inferred ones was found after the kernel
dropped events.`,
		Example: `  elsactl usage
  elsactl usage 'ci/*' ci/
  elsactl mark; make; elsactl usage --since mark
  elsactl usage ci --wait -o json | jq '.groups[0].usage.cpu_seconds'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Groups = args
			if cmd.Flags().Changed("since") {
				if len(args) > 0 || q.Mine {
					return badUsage("--since, --mine and groups: use one of these")
				}
				group, err := c.marked(cmd.Context(), since)
				if err != nil {
					return err
				}
				q.Groups = []string{group}
			}
			all := len(q.Groups) == 0 && !q.Mine
			stop := c.waiting("waiting for the last records")
			r, err := c.client().Usage(cmd.Context(), q)
			stop()
			if err != nil {
				return err
			}
			return c.printAs(r, usageRows(r, all), func() {
				t := newTable("GROUP", "STATE", "LIVE>", "ENDED>", "USER>", "SYSTEM>", "MEMORY>", "READ>", "WRITTEN>", "PRECISION")
				row := func(name, state string, u client.Usage, p string) {
					t.row(name, state, fmt.Sprint(u.ProcessesLive), fmt.Sprint(u.ProcessesEnded),
						seconds(u.CPUUserSeconds), seconds(u.CPUSystemSeconds),
						bytes(u.MaxRSSBytes), bytes(u.ReadBytes), bytes(u.WriteBytes), p)
				}
				for _, g := range r.Groups {
					row(g.Name, g.State, g.Usage, precision(g.Precision))
				}
				for _, p := range r.Parents {
					row(p.Name, "", p.Usage, precision(p.Precision))
				}
				if all {
					row("(any group)", "", r.AnyGroup, "")
					row("(ungrouped)", "", r.Ungrouped, "")
					row("(unattributed)", "", r.Unattributed, "")
					row("(total)", "", r.Total, "")
				}
				t.write(c.stdout)
			})
		},
		ValidArgsFunction: c.completeGroups,
	}
	cmd.Flags().StringVar(&since, "since", "", "show what this shell and its children used since the mark `MARK`; see elsactl mark")
	cmd.RegisterFlagCompletionFunc("since", c.completeMarks)
	cmd.Flags().BoolVar(&q.Mine, "mine", false, "show your own groups alone: those that you made, and those that rules made for your processes")
	cmd.Flags().BoolVar(&q.Wait, "wait", false, "wait until every process that died before is counted, 2 s at most")
	return cmd
}

// usageRow is a line of the report as CSV.
type usageRow struct {
	// Scope is "group", or the part of the machine the line is about.
	Scope   string            `json:"scope"`
	Name    string            `json:"name"`
	ID      *uint32           `json:"id"`
	State   string            `json:"state"`
	Created time.Time         `json:"created"`
	Closed  time.Time         `json:"closed"`
	Owner   *uint32           `json:"owner"`
	Labels  map[string]string `json:"labels"`
	client.Usage
	*client.Precision
}

func usageRows(r client.UsageReport, all bool) []usageRow {
	var rows []usageRow
	for i := range r.Groups {
		g := &r.Groups[i]
		rows = append(rows, usageRow{
			Scope: "group", Name: g.Name, ID: &g.ID, State: g.State, Created: g.Created, Closed: g.Closed,
			Owner: &g.Owner, Labels: g.Labels, Usage: g.Usage, Precision: &g.Precision,
		})
	}
	for i := range r.Parents {
		p := &r.Parents[i]
		rows = append(rows, usageRow{Scope: "parent", Name: p.Name, Usage: p.Usage, Precision: &p.Precision})
	}
	if all {
		rows = append(rows, usageRow{Scope: "any_group", Usage: r.AnyGroup}, usageRow{Scope: "ungrouped", Usage: r.Ungrouped},
			usageRow{Scope: "unattributed", Usage: r.Unattributed}, usageRow{Scope: "total", Usage: r.Total})
	}
	return rows
}
