// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"elsa/internal/query"
)

func processesCommand(c *ctl) *cobra.Command {
	var q query.Query
	var since, until, by, dir, format, from string
	cmd := &cobra.Command{
		Use:   "processes [--group NAME] [--user USER] [--command NAME] [--exit KIND] [--tree PID[@START]] [--where EXPR] [--by WHAT,...] [--sort WHAT] [--top N] [--format trace] [--from WHERE]",
		Short: "List or add up single processes that ended",
		Long: `List the processes that ended, or, with --by, add up what they used. Without
times all that the archive keeps is read: seven days, unless elsa-archive is told
otherwise. A process that changed its groups has a row for each part of its life;
the last one is its end.

--tree takes a process and all that descends from it, by who forked whom: also
daemons and others that outlived their parent. --where takes those for which an
expression holds; docs/archive.md describes it.

In JSON, CSV and Parquet a row has every column, times in nanoseconds and memory
in bytes. Hours and days are those of UTC. TIME is as in elsactl report.

--format trace writes the Trace Event Format, which Perfetto (ui.perfetto.dev)
and chrome://tracing open: a slice for each process from birth to death, inside
its parent where it fits, with its bill, and how many processes lived and how
many CPUs they used. At most 65536 rows are drawn, those that lived longest or,
with --sort, are the most; the file says how many are left out.

With --from the processes are those of all hosts that deliver them to WHERE, with
stream: processes, as far as their archives were sealed and sent; --by host tells
the hosts apart.

Root and members of the unix group elsa see all processes, others their own. The
program elsa-archive reads the archive, and elsad need not run.`,
		Example: `  elsactl processes --group ci --since today --sort cpu --top 10
  elsactl processes --exit signal --since 7d
  elsactl processes --group ci --by command,user
  elsactl processes --since 7d --where 'command startsWith "cc" and cpu_seconds > 60'
  elsactl processes --tree 4711@2026-03-04T05:06:07Z -o csv
  elsactl processes --group build/17 --format trace > build.json`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			now := time.Now()
			if q.Since, err = parseTime(since, now); err != nil {
				return err
			}
			if q.Until, err = parseTime(until, now); err != nil {
				return err
			}
			if by != "" {
				q.By = strings.Split(by, ",")
			}
			if q.Format = c.format; format != "" {
				if format != "trace" || cmd.Flags().Changed("output") {
					return badUsage("--format is trace, and not together with -o")
				}
				q.Format = format
			}
			if err := q.Check(); err != nil {
				return badUsage("%w", err)
			}
			text, err := json.Marshal(&q)
			if err != nil {
				return err
			}
			if from == "" {
				return c.archive(dir, "query", "--query", string(text))
			}
			if q.Tree != "" || format != "" || dir != "" {
				return badUsage("--tree, --format and --archive-dir are of one host; leave them out with --from")
			}
			where, err := place(from)
			if err != nil {
				return err
			}
			return c.archive("", "query", "--query", string(text), "--from", where)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	f.StringVarP(&q.Group, "group", "g", "", "take the processes of the group `NAME`")
	f.StringVarP(&q.User, "user", "u", "", "take the processes of `USER`, a name or a number")
	f.StringVar(&q.Command, "command", "", "take the processes of the command `NAME`")
	f.StringVar(&q.Exit, "exit", "", "take those that ended in a `WAY`: "+strings.Join(query.Exits, ", "))
	f.Int32Var(&q.PID, "pid", 0, "take the process `PID`")
	f.StringVar(&q.Tree, "tree", "", "take a process and its descendants: `PID`, or PID@START if the pid was used again")
	f.StringVar(&q.Where, "where", "", "take those for which `EXPR` holds")
	f.StringVar(&since, "since", "", "take what ended at `TIME` or later")
	f.StringVar(&until, "until", "", "take what ended before `TIME`")
	f.StringVar(&by, "by", "", "add up by `WHAT`, separated by commas: "+strings.Join(query.Bys, ", "))
	f.StringVar(&q.Sort, "sort", "", "show the most first, by `WHAT`: "+strings.Join(query.Sorts, ", "))
	f.IntVar(&q.Top, "top", 0, fmt.Sprintf("show `N` rows at most; with --sort %d, else all", query.DefaultTop))
	f.StringVar(&format, "format", "", "write a picture in `FORMAT` trace, for Perfetto or chrome://tracing")
	f.StringVar(&from, "from", "", "show the processes of all hosts that deliver them to `WHERE`: a directory, s3://BUCKET/PREFIX, or clickhouse://HOST/DATABASE")
	f.StringVar(&dir, "archive-dir", "", "read the archive in `DIR`")
	cmd.RegisterFlagCompletionFunc("group", c.completeGroups)
	for name, values := range map[string][]string{"format": {"trace"}, "exit": query.Exits, "by": query.Bys, "sort": query.Sorts} {
		cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	return cmd
}

// archive runs elsa-archive, whose output is this command's.
func (c *ctl) archive(dir string, args ...string) error {
	cmd, err := c.archiveCommand(dir, args...)
	if err != nil {
		return err
	}
	cmd.Stdout = c.stdout
	return archiveEnded(cmd.Run())
}

// archiveCommand is elsa-archive, whose errors are this command's.
func (c *ctl) archiveCommand(dir string, args ...string) (*exec.Cmd, error) {
	path, err := findArchive()
	if err != nil {
		return nil, err
	}
	if dir != "" {
		args = append(args, "--archive-dir", dir)
	}
	cmd := exec.Command(path, args...)
	cmd.Stderr = c.stderr
	return cmd, nil
}

// archiveEnded is the error with which elsa-archive ended.
func archiveEnded(err error) error {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return &exitError{status: max(exit.ExitCode(), statusFailed)} // it said why
	}
	if err != nil {
		return fmt.Errorf("run elsa-archive: %w", err)
	}
	return nil
}

// findArchive is where elsa-archive is: beside this program, where packages and make
// install put it, or in PATH.
func findArchive() (string, error) {
	if self, err := os.Executable(); err == nil {
		for _, path := range []string{"elsa-archive", "../sbin/elsa-archive"} {
			path = filepath.Join(filepath.Dir(self), path)
			if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
				return path, nil
			}
		}
	}
	path, err := exec.LookPath("elsa-archive")
	if err != nil {
		return "", fmt.Errorf("find elsa-archive, which reads the archive: %w", err)
	}
	return path, nil
}
