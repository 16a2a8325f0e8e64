// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"elsa/pkg/client"
)

func topCommand(c *ctl) *cobra.Command {
	var once bool
	var frames int
	var delay float64
	var order string
	cmd := &cobra.Command{
		Use:   "top [--sort COLUMN] [-d SECONDS] [--once | -n N]",
		Short: "Show what groups do now",
		Long: `Show what groups do now, and again every two seconds. PROCS are the live
processes, FORKS/S those that came in within a second, CPU % is of one CPU, so
that two busy CPUs are 200, and never more than the machine has; PEAK is the
largest resident set of any one process so far. What processes used that came
and went in between is in it. Names that are too long are shortened in their
middle; left and right scroll the columns, of which the names stay.

Keys: ? lists them all. up and down select a group and enter shows its
processes, also those in no group, and tab there the commands that ended within
the last hour or two; esc goes back. / shows what has a text in its name, i
hides groups that do nothing. c t p m r w f n sort by CPU, CPU time, processes,
memory, reads, writes, forks and name, and the same key again turns the order
round. Of processes, v shows the tree, a names without arguments, and x sends
one a signal, once it is confirmed: to that process, or if it has ended to none.
space stops and goes on, + and - change the interval, q ends.

With --once or -n it prints tables, one for each interval, and needs no
terminal. With -o json each is one line.`,
		Example: `  elsactl top
  elsactl top --once --sort written
  elsactl top -n 60 -d 1 -o json | jq -r '.rows[] | [.name, .cpu_percent] | @tsv'`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			by, known := findTopColumn(func(col *topColumn) bool { return col.name == order })
			switch {
			case !known:
				return badUsage("unknown --sort %q; use %s", order, strings.Join(topColumnNames(), ", "))
			case !(delay >= 0.1 && delay <= 3600):
				return badUsage("-d %v is no interval; use 0.1 to 3600 seconds", delay)
			case frames < 0:
				return badUsage("-n %d is no number of tables; use 1 or more", frames)
			}
			interval := time.Duration(delay * float64(time.Second))
			if once {
				frames = 1
			}
			if frames > 0 {
				ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
				defer stop()
				return c.topBatch(ctx, frames, interval, by)
			}
			if _, err := unix.IoctlGetTermios(int(os.Stdout.Fd()), unix.TCGETS); err != nil {
				return errors.New("standard output is no terminal; use --once, or -n for a number of tables")
			}
			m := newTopModel(c.client(), interval, by)
			end, err := tea.NewProgram(m, tea.WithContext(cmd.Context()), tea.WithOutput(os.Stdout)).Run()
			if err != nil {
				return fmt.Errorf("use the terminal: %w", err)
			}
			return end.(*topModel).fatal
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	f.BoolVar(&once, "once", false, "print one table, of what happens within one interval, and end")
	f.IntVarP(&frames, "number", "n", 0, "print `N` tables and end")
	f.Float64VarP(&delay, "delay", "d", 2, "look again after `SECONDS`")
	f.StringVar(&order, "sort", "cpu", "sort by `COLUMN`: "+strings.Join(topColumnNames(), ", "))
	cmd.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(topColumnNames(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// topBatch prints frames without a terminal.
func (c *ctl) topBatch(ctx context.Context, frames int, interval time.Duration, by int) error {
	service := c.client()
	var before client.UsageReport
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for i := range frames + 1 {
		now, err := service.Usage(ctx, client.UsageQuery{})
		if err != nil {
			return err
		}
		if i > 0 {
			f := newFrame(&before, &now)
			f.sort(by, false)
			if err := c.topPrint(&f, i); err != nil {
				return err
			}
		}
		before = now
		if i == frames {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil // interrupted
		}
	}
	return nil
}

// topCSV is a row as CSV.
type topCSV struct {
	Time    time.Time `json:"time"`
	Seconds float64   `json:"interval_seconds"`
	topRow
}

// topPrint prints the i-th frame.
func (c *ctl) topPrint(f *topFrame, i int) error {
	switch c.format {
	case "json":
		return json.NewEncoder(c.stdout).Encode(f)
	case "csv":
		rows := make([]topCSV, len(f.Rows))
		for i, r := range f.Rows {
			rows[i] = topCSV{f.Time, f.Seconds, r}
		}
		var text strings.Builder
		if err := writeCSV(&text, rows); err != nil {
			return err
		}
		out := text.String()
		if i > 1 {
			_, out, _ = strings.Cut(out, "\n") // the header is there
		}
		_, err := fmt.Fprint(c.stdout, out)
		return err
	}
	if i > 1 {
		fmt.Fprintln(c.stdout)
	}
	fmt.Fprintf(c.stdout, "%s, within %s\n", clock(f.Time), seconds(f.Seconds))
	t := newTable(topHeader...)
	for j := range f.Rows {
		t.row(f.Rows[j].cells()...)
	}
	t.write(c.stdout)
	return nil
}
