// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"elsa/internal/tally"
	"elsa/pkg/client"
)

func statusCommand(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show how the service is: its sources, losses and backlog",
		Long: `Show how the service is: where its figures come from, what it lost, what waits
to be charged, and whether all bills together are what the kernel reported
(CPU accounted for; 100 % is right). The first lines say in words what is amiss, if
anything is, and what to do. Events and records count from the start of the
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

// countLines are the service's counters, as their table has them: names of rows and
// what is in them.
func countLines(s *client.Status) (lines [][2]string) {
	for c := range tally.Counters {
		i := c.Info()
		n := countOf(s, i)
		what := i.Many
		if n == 1 {
			what = i.One
		}
		text := fmt.Sprintf("%d %s", n, what)
		if i.Bytes {
			text = bytes(n) + " " + what
		}
		if last := len(lines) - 1; last >= 0 && lines[last][0] == i.Line {
			lines[last][1] += ", " + text
		} else {
			lines = append(lines, [2]string{i.Line, text})
		}
	}
	return lines
}

func countOf(s *client.Status, i *tally.Info) uint64 {
	sections := map[tally.Section]any{tally.Events: &s.Events, tally.Records: &s.Records, tally.Samples: &s.Samples, tally.Rules: &s.Rules, tally.Names: &s.Names, tally.Journal: &s.Journal}
	switch i.Section {
	case tally.Joined:
		return s.Records.Joined[i.Name]
	case tally.Limited:
		return s.Limited[i.Name]
	}
	return uint64(client.Figure(sections[i.Section], i.Name))
}

// health says in words whether all is well, and if not, what is amiss and the mend.
func health(s *client.Status) (lines []string) {
	amiss := func(is bool, format string, args ...any) {
		if is {
			lines = append(lines, fmt.Sprintf(format, args...))
		}
	}
	amiss(s.Sources.Suspended, "accounting is suspended: what ends now is known by fewer figures; see accounting below")
	amiss(!s.UnsavedSince.IsZero(), "nothing is safe on disk since %s: look at the disk of the database", clock(s.UnsavedSince))
	amiss(s.Events.Lost > 0, "the kernel dropped %s, and /proc was searched for what they told: give elsad a larger --event-buffer", count(int(s.Events.Lost), "event"))
	lost := s.Records.LedgerLost + s.Records.TaskstatsLost + s.Records.ExactLost
	amiss(lost > 0, "%s lost: those processes are known by fewer figures; a larger --event-buffer or --taskstats-buffer holds more", count(int(lost), "record"))
	amiss(s.Conservation.UnaccountedCPUSeconds > 0, "%s of CPU time ran on this machine that is on no bill, as of records that were lost or say less",
		seconds(s.Conservation.UnaccountedCPUSeconds))
	amiss(s.Records.LedgerGaps > 0, "the accounting file has %s, in which an unknown number of processes is missing", count(int(s.Records.LedgerGaps), "gap"))
	amiss(s.Rules.Missed > 0, "%s ended before rules could look at them: rules by user, command or control group see all", count(int(s.Rules.Missed), "process"))
	amiss(s.Names.Failed > 0, "the name service did not answer %s: see elsactl doctor", count(int(s.Names.Failed), "time"))
	amiss(s.Journal.Lost > 0, "the journal lost %s: see the disk of the archive", count(int(s.Journal.Lost), "row"))
	if len(lines) == 0 {
		return []string{"all is well: every process that ended is on a bill, and nothing was lost"}
	}
	return lines
}

func statusTable(s client.Status) *table {
	t := newTable()
	for i, line := range health(&s) {
		t.row([]string{"state", ""}[min(i, 1)], line)
	}
	t.row("version", s.Version)
	t.row("running since", fmt.Sprintf("%s (%s)", clock(s.Started), seconds(s.Time.Sub(s.Started).Seconds())))
	t.row("accounts since", clock(s.Created))
	t.row("groups", fmt.Sprint(s.Groups))
	t.row("live processes", fmt.Sprintf("%d, %d of them in groups", s.Processes, s.Members))

	t.row("event source", s.Sources.Events)
	accounting := s.Sources.Accounting
	if s.Sources.Suspended {
		accounting += "; SUSPENDED since " + clock(s.Sources.SuspendedSince) + ": " + s.Sources.SuspendedCause
	}
	t.row("accounting", accounting)
	t.row("taskstats", s.Sources.Taskstats)
	exact := s.Sources.Exact
	if missing := s.Sources.ExactMissing; len(missing) > 0 {
		exact += "; this kernel lacks " + strings.Join(missing, ", ") + ": zero in exact records"
	}
	t.row("exact CPU", exact)

	for _, line := range countLines(&s) {
		t.row(line[0], line[1])
	}
	t.row("precision", precision(s.Precision))
	t.row("backlog", bytes(uint64(max(s.BacklogBytes, 0))))
	store := bytes(uint64(max(s.StoreBytes, 0)))
	if !s.UnsavedSince.IsZero() {
		store += fmt.Sprintf("; UNSAVED since %s: the disk fails, or does not answer; figures are of %s", clock(s.UnsavedSince), clock(s.Committed))
	}
	t.row("store", store)
	k := s.Conservation
	for i, part := range []string{
		fmt.Sprintf("%.4f %%: %s in groups, %s ungrouped, %s unattributed", 100*k.Ratio,
			seconds(k.AnyGroupCPUSeconds), seconds(k.UngroupedCPUSeconds), seconds(k.UnattributedCPUSeconds)),
		seconds(k.UnaccountedCPUSeconds) + " more ran on this machine",
	} {
		if i == 0 || k.UnaccountedCPUSeconds > 0 {
			t.row([]string{"CPU accounted for", ""}[i], part)
		}
	}
	return t
}
