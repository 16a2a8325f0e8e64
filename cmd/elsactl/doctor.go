// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// level is how bad a finding is.
type level string

const (
	ok   level = "ok"
	warn level = "warn"
	fail level = "fail"
)

// finding is what one check found, and what to do about it.
type finding struct {
	Check string `json:"check"`
	Level level  `json:"level"`
	Text  string `json:"text"`
	Mend  string `json:"mend,omitempty"`
}

// diagnosis is what all checks found.
type diagnosis struct {
	Healthy bool `json:"healthy"`
	// Precision is the best CPU time to be had here: exact, sampled, rounded, or
	// none.
	Precision string    `json:"precision"`
	Findings  []finding `json:"findings"`
}

func doctorCommand(c *ctl) *cobra.Command {
	var stateDir string
	cmd := &cobra.Command{
		Use:   "doctor [--state-dir DIR]",
		Short: "Check whether this machine can be accounted for, and how well",
		Long: `Check whether this machine can be accounted for, and how well: the kernel's
options, namespaces, who owns accounting, disk space, the tick, and whether
elsad runs and is well. It works without elsad, too. Each finding is ok, warn
or fail; the latter two come with what to do. The exit status is 1 if something
fails.

Run it as root: others cannot subscribe to process events, and that check is
skipped.`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			h := thisHost(c.socket, stateDir)
			d := h.diagnose(cmd.Context())
			if err := c.printAs(d, d.Findings, func() { c.doctorTable(d) }); err != nil {
				return err
			}
			if !d.Healthy {
				return &exitError{status: statusFailed}
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&stateDir, "state-dir", "/var/lib/elsa", "elsad keeps its database and the accounting file in `DIR`")
	return cmd
}

func (c *ctl) doctorTable(d diagnosis) {
	t := newTable()
	fails := 0
	for _, f := range d.Findings {
		t.row(string(f.Level), f.Check, f.Text)
		if f.Mend != "" {
			t.row("", "", "→ "+f.Mend)
		}
		if f.Level == fail {
			fails++
		}
	}
	t.write(c.stdout)
	if fails > 0 {
		fmt.Fprintf(c.stdout, "\n%s\n", count(fails, "failure"))
		return
	}
	fmt.Fprintf(c.stdout, "\nCPU time to expect: %s\n", precisionText[d.Precision])
}

var precisionText = map[string]string{
	"exact":   "exact, as the scheduler measures it, in nanoseconds",
	"sampled": "sampled by the tick: right on average, some milliseconds off for each process",
	"rounded": "rounded down to 10 ms for each process, of user and of system time",
	"none":    "none",
}
