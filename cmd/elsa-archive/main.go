// SPDX-License-Identifier: Apache-2.0

// Command elsa-archive keeps the rows of ended processes that elsad writes: it seals
// them to Parquet files, removes old ones, and answers questions about them. It also
// delivers them and the bills to a place that all hosts share, and reads that.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"elsa/internal/archive"
	"elsa/internal/build"
	"elsa/internal/journal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are the flags.
type options struct {
	dir, socket    string
	days           int
	bytes          int64
	every          time.Duration
	stdout, stderr io.Writer
}

// run is elsa-archive without the process around it. It returns the exit status: 0
// done, 1 failed, 2 wrong usage.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o := &options{stdout: stdout, stderr: stderr}
	started := false
	root := &cobra.Command{
		Use:   "elsa-archive [--archive-dir DIR] COMMAND",
		Short: "Keep and read the archive of ended processes",
		Long: `elsa-archive makes Parquet files of the journal that elsad writes, one
directory a UTC day, and removes old ones. Ask for processes with elsactl
processes. It also delivers what a host bills to where all hosts do; ask for
that with elsactl report --from and elsactl fleet.`,
		Version: build.Version(), SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if o.days < 1 || o.bytes < 1 || o.every < time.Second {
				started = false
				return errors.New("--keep-days and --keep-bytes must be 1 or more, --every 1s or more")
			}
			started = true
			return nil
		},
	}
	f := root.PersistentFlags()
	f.StringVar(&o.dir, "archive-dir", journal.DefaultArchive, "the archive is in `DIR`, the journal in DIR/journal")
	f.StringVar(&o.socket, "socket", archive.DefaultSocket, "where users ask for their own processes")
	f.IntVar(&o.days, "keep-days", 7, "keep the files of so many `DAYS` before the newest")
	f.Int64Var(&o.bytes, "keep-bytes", 1<<30, "keep files of so many `BYTES` together")
	f.DurationVar(&o.every, "every", time.Minute, "seal and prune once in a `TIME`")
	verb := func(use, short string, f func(context.Context) error) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return f(cmd.Context()) }}
	}
	root.AddCommand(
		verb("serve", "Seal and prune from time to time, and answer users", o.serve),
		verb("seal", "Make files of what is settled in the journal, once", o.seal),
		verb("prune", "Remove what is older than is to be kept, once", o.prune),
		verb("list", "List the files", o.list),
		verb("verify", "Read every file and name what is damaged", o.verify),
		queryCommand(o), fillCommand(o), shipCommand(o), fleetCommand(o),
	)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "elsa-archive: %s\n", strings.Join(strings.Fields(err.Error()), " "))
	if !started {
		return 2
	}
	return 1
}

func (o *options) seal(context.Context) error {
	if err := archive.Clean(o.dir); err != nil {
		return err
	}
	done, err := archive.Seal(o.dir)
	fmt.Fprintf(o.stdout, "%d segments sealed, %d files, %d rows; %d rows were lost before\n", done.Segments, done.Files, done.Rows, done.Lost)
	for _, d := range done.Damage {
		fmt.Fprintf(o.stderr, "elsa-archive: %v\n", d)
	}
	return err
}

func (o *options) prune(context.Context) error {
	removed, err := archive.Prune(o.dir, o.days, o.bytes, time.Now())
	for _, f := range removed {
		fmt.Fprintln(o.stdout, "removed", f.Path)
	}
	return err
}

func (o *options) list(context.Context) error {
	files, err := archive.Files(o.dir)
	for _, f := range files {
		fmt.Fprintf(o.stdout, "%s  %9d  %s\n", f.Day, f.Size, f.Path)
	}
	return err
}

func (o *options) verify(context.Context) error {
	bad := 0
	rows, err := archive.Verify(o.dir, func(err error) {
		bad++
		fmt.Fprintln(o.stderr, "elsa-archive:", err)
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(o.stdout, "%d rows read\n", rows)
	if bad > 0 {
		return fmt.Errorf("verify archive: damaged in %d places", bad)
	}
	return nil
}
