// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

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
ship. WHERE is a directory or s3://BUCKET/PREFIX. The program elsa-archive reads
it, and elsad need not run.`,
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
and every byte. What differs is named, and the exit status is 1. Hosts look once
an hour, and send again what is missing or has another size.`,
		Example: `  elsactl fleet verify --from 's3://bills/elsa?endpoint=https://s3.example.org'`,
		Args:    between(0, 0),
		RunE:    func(*cobra.Command, []string) error { return c.fleetStatus(from, "--read") },
	}
	for _, sub := range []*cobra.Command{status, verify} {
		sub.Flags().StringVar(&from, "from", "", "read `WHERE`: a directory, or s3://BUCKET/PREFIX")
		sub.ValidArgsFunction = cobra.NoFileCompletions
	}
	cmd.AddCommand(status, verify)
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

// askFleet lets elsa-archive read what all hosts delivered. v may be filled when there is
// an error, too.
func (c *ctl) askFleet(v any, from string, args ...string) error {
	if from == "" {
		return badUsage("--from is missing; use a directory, or s3://BUCKET/PREFIX")
	}
	if !strings.Contains(from, "://") {
		path, err := filepath.Abs(from)
		if err != nil {
			return err
		}
		from = path
	}
	var out strings.Builder
	to := *c
	to.stdout = &out
	stop := c.waiting("reading what the hosts delivered")
	err := to.archive("", append(append([]string{"fleet"}, args...), "--from", from)...)
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
