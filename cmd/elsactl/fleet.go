// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"elsa/internal/escape"

	"github.com/spf13/cobra"

	"elsa/internal/query"
	"elsa/pkg/client"
)

func fleetCommand(c *ctl) *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use: "fleet COMMAND", Short: "See how far all hosts have delivered",
		Long: `See how far the hosts have delivered that deliver to one place with elsa-archive
ship. WHERE is a directory, s3://BUCKET/PREFIX or clickhouse://HOST/DATABASE. The
program elsa-archive reads it, and elsad need not run.`,
		Args: noVerb, RunE: needsVerb,
	}
	status := &cobra.Command{
		Use: "status --from WHERE", Short: "Show how far each host has delivered",
		Long: `Show how far each host has delivered, and whether all files are there that it
sent. COMPLETE TO is the time before which all that ended is there; LOST are
files that were dropped before they could be sent.`,
		Example: `  elsactl fleet status --from /mnt/fleet`,
		Args:    between(0, 0),
		RunE:    func(*cobra.Command, []string) error { return c.fleetStatus(from) },
	}
	verify := &cobra.Command{
		Use: "verify --from WHERE", Short: "Read every file and compare it with what was sent",
		Long: `Read every file and compare it with what its host says it sent: rows, CPU time
and every byte; of tables, rows and CPU time. What differs is named, and the exit
status is 1. Hosts look once an hour, and send again what is missing or has
another size or, in tables, other rows or CPU time; elsactl fleet resend has them
send all again.`,
		Example: `  elsactl fleet verify --from 's3://bills/elsa?endpoint=https://s3.example.org'`,
		Args:    between(0, 0),
		RunE:    func(*cobra.Command, []string) error { return c.fleetStatus(from, "--read") },
	}
	var host, since string
	resend := &cobra.Command{
		Use: "resend --from WHERE --host HOST [--since TIME]", Short: "Ask a host to send again what it sent",
		Long: `Ask a host, by its name or its source, to send again what it still has of what
ended at TIME or later; without --since, all of it. The host does so in its next
round, by default within 5 minutes. What is there already and is the same stays.
TIME is as in elsactl report.`,
		Example: `  elsactl fleet resend --from clickhouse://ch/elsa --host node17 --since 2d`,
		Args:    between(0, 0),
		RunE: func(*cobra.Command, []string) error {
			at, err := parseTime(since, time.Now())
			if err != nil {
				return err
			}
			if host == "" {
				return badUsage("--host is missing; elsactl fleet status names the hosts")
			}
			if at.IsZero() {
				at = time.Unix(0, 0)
			}
			where, err := place(from)
			if err != nil {
				return err
			}
			return c.archive("", "fleet", "resend", "--from", where, "--host", host, "--since", at.UTC().Format(time.RFC3339))
		},
	}
	resend.Flags().StringVar(&host, "host", "", "ask `HOST`, a name or a source")
	resend.Flags().StringVar(&since, "since", "", "of what ended at `TIME` or later")
	var database, cluster string
	var replicated bool
	schema := &cobra.Command{
		Use: "schema clickhouse [--database NAME] [--cluster NAME] [--replicated]", Short: "Print the tables that hosts deliver to",
		Long: `Print the statements that make the tables of a fleet, and that give tables of an
earlier version what they lack: they can be run at any time, as with
clickhouse-client --multiquery. With --cluster the tables are made on all hosts of
a cluster, with tables over its shards; with --replicated they are replicated, by
the macros {shard} and {replica}.`,
		Example: `  elsactl fleet schema clickhouse | clickhouse-client --host ch --multiquery
  elsactl fleet schema clickhouse --cluster '{cluster}' --replicated`,
		Args: between(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			if args[0] != "clickhouse" {
				return badUsage("unknown engine %q; use clickhouse", args[0])
			}
			flags := []string{"fleet", "schema", "--database", database, "--cluster", cluster}
			if replicated {
				flags = append(flags, "--replicated")
			}
			return c.archive("", flags...)
		},
		ValidArgsFunction: cobra.FixedCompletions([]string{"clickhouse"}, cobra.ShellCompDirectiveNoFileComp),
	}
	schema.Flags().StringVar(&database, "database", "elsa", "make the tables in the database `NAME`")
	schema.Flags().StringVar(&cluster, "cluster", "", "make them on all hosts of the cluster `NAME`")
	schema.Flags().BoolVar(&replicated, "replicated", false, "make replicated tables")
	for _, sub := range []*cobra.Command{status, verify, resend} {
		sub.Flags().StringVar(&from, "from", "", "read `WHERE`: a directory, s3://BUCKET/PREFIX, or clickhouse://HOST/DATABASE")
		sub.ValidArgsFunction = cobra.NoFileCompletions
	}
	cmd.AddCommand(status, verify, resend, schema)
	return cmd
}

func (c *ctl) fleetStatus(from string, args ...string) error {
	var s query.FleetStatus
	asked := c.askFleet(&s, from, append([]string{"status"}, args...)...)
	if s.Hosts == nil {
		return asked
	}
	err := c.printAs(s, s.Hosts, func() {
		t := newTable("HOST", "STATE", "COMPLETE TO", "FILES>", "CELLS>", "CPU>", "LOST>", "SOURCE")
		for _, h := range s.Hosts {
			through := "-"
			if !h.Through.IsZero() {
				through = clock(h.Through)
			}
			t.row(h.Host, h.State, through, fmt.Sprint(h.Files), fmt.Sprint(h.Rows), seconds(h.CPU), fmt.Sprint(h.LostFiles), h.Source)
		}
		t.write(c.stdout)
		fmt.Fprintln(c.stdout, s.Fleet.Line(clock))
	})
	if err != nil {
		return err
	}
	return asked
}

// place is where hosts deliver, for elsa-archive.
func place(from string) (string, error) {
	switch {
	case from == "":
		return "", badUsage("--from is missing; use a directory, s3://BUCKET/PREFIX, or clickhouse://HOST/DATABASE")
	case strings.Contains(from, "://"):
		return from, nil
	}
	return filepath.Abs(from)
}

// askFleet lets elsa-archive read what all hosts delivered. v may be filled when there is
// an error, too.
func (c *ctl) askFleet(v any, from string, args ...string) error {
	from, err := place(from)
	if err != nil {
		return err
	}
	var out strings.Builder
	to := *c
	to.stdout = &out
	stop := c.waiting("reading what the hosts delivered")
	err = to.archive("", append(append([]string{"fleet"}, args...), "--from", from)...)
	stop()
	if out.Len() > 0 {
		if bad := json.Unmarshal([]byte(out.String()), v); bad != nil {
			return fmt.Errorf("read answer of elsa-archive: %w", bad)
		}
	}
	return err
}

// statusIncomplete is the exit status of report --complete where not all hosts are.
const statusIncomplete = 4

// fleetReport prints a report over all hosts.
func (c *ctl) fleetReport(from string, q *client.ReportQuery, arrange func(*client.Report), complete bool) error {
	if q.Mine || q.Wait {
		return badUsage("--mine and --wait are of one host; leave them out with --from")
	}
	text, err := json.Marshal(query.Fleet{Groups: q.Groups, By: q.By, Since: q.Since, Until: q.Until})
	if err != nil {
		return err
	}
	var r query.FleetReport
	if err := c.askFleet(&r, from, "report", "--query", string(text)); err != nil {
		return err
	}
	arrange(&r.Report)
	all := len(q.Groups) == 0
	line := r.Fleet.Line(clock)
	if err := c.printAs(&r, reportRows(&r.Report, all), func() {
		c.reportTable(&r.Report, all)
		fmt.Fprintln(c.stdout, line)
	}); err != nil {
		return err
	}
	if c.format == "csv" {
		fmt.Fprintf(c.stderr, "elsactl: %s\n", escape.Text(line)) // its rows have no place for it
	}
	if complete && (r.Fleet.Complete < r.Fleet.Hosts || r.Fleet.Hosts == 0) {
		return &exitError{status: statusIncomplete, err: fmt.Errorf("not all hosts are complete: %s", line)}
	}
	return nil
}
