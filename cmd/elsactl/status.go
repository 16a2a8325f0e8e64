// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"elsa/pkg/api"
)

func statusCommand(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show how the service is: its sources, losses and backlog",
		Long: `Show how the service is: where its figures come from, what it lost, what waits
to be charged, and whether all bills together are what the kernel reported
(conservation; 100 % is right). Events and records count from the start of the
service.`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := c.client().Status(cmd.Context())
			if err != nil {
				return err
			}
			return c.print(s, func() { statusTable(s).write(c.stdout) })
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

func statusTable(s api.Status) *table {
	t := newTable()
	t.row("version", s.Version)
	t.row("running since", fmt.Sprintf("%s (%s)", clock(s.Started), seconds(s.Time.Sub(s.Started).Seconds())))
	t.row("accounts since", clock(s.Created))
	t.row("groups", fmt.Sprint(s.Groups))
	t.row("live processes", fmt.Sprintf("%d, %d of them in groups", s.Processes, s.Members))

	t.row("event source", s.Sources.Events)
	accounting := s.Sources.Accounting
	if s.Sources.Suspended {
		accounting += "; SUSPENDED by the kernel: free some disk space"
	}
	t.row("accounting", accounting)
	t.row("taskstats", s.Sources.Taskstats)
	t.row("exact CPU", s.Sources.Exact)

	e := s.Events
	t.row("events", fmt.Sprintf("%d forks, %d execs, %d exits, %d other", e.Forks, e.Execs, e.Exits, e.Other))
	t.row("events lost", fmt.Sprintf("%d (%s of /proc), %d rejected", e.Lost, count(int(e.Resyncs), "rescan"), e.Rejected))
	r := s.Records
	t.row("records", fmt.Sprintf("%d accounting, %d taskstats, %d exact", r.BSD, r.Taskstats, r.Exact))
	t.row("records lost", fmt.Sprintf("%d accounting, %d taskstats, %d exact; %s skipped, %s, %s without a record",
		r.LedgerLost, r.TaskstatsLost, r.ExactLost, bytes(r.LedgerSkippedBytes), count(int(r.LedgerGaps), "gap"), count(int(r.MissingLedger), "death")))
	var joined []string
	for _, how := range slices.Sorted(maps.Keys(r.Joined)) {
		joined = append(joined, fmt.Sprintf("%d %s", r.Joined[how], how))
	}
	t.row("joined", strings.Join(joined, ", "))
	t.row("precision", precision(s.Precision))
	var refused []string
	for _, what := range slices.Sorted(maps.Keys(s.Refused)) {
		if n := s.Refused[what]; n > 0 {
			refused = append(refused, fmt.Sprintf("%d %s", n, what))
		}
	}
	if len(refused) == 0 {
		refused = []string{"nothing"}
	}
	t.row("refused", strings.Join(refused, ", "))
	t.row("backlog", bytes(uint64(max(s.BacklogBytes, 0))))
	t.row("store", bytes(uint64(max(s.StoreBytes, 0))))
	k := s.Conservation
	t.row("conservation", fmt.Sprintf("%.4f %%: %s in groups, %s ungrouped, %s unattributed", 100*k.Ratio,
		seconds(k.AnyGroupCPUSeconds), seconds(k.UngroupedCPUSeconds), seconds(k.UnattributedCPUSeconds)))
	return t
}
