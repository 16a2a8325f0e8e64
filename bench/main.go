// SPDX-License-Identifier: Apache-2.0

// Bench measures what elsad costs, side by side with its peers in one run, and
// prints one table: ours, the peer, the ratio, the limit.
//
// CPU is the scheduler's own count of a process, in nanoseconds: what ticks say
// of a program that sleeps by the tick is off by a factor. It needs root, and
// takes the machine's process accounting while it runs.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// bench is one run of everything.
type bench struct {
	ctx      context.Context
	bin      string // of elsad and elsactl
	dir      string // throw-away
	workload string
	rounds   int
	forks    int
	rows     []row
	running  []*program // that were started, and may have ended

	growthEvent, growthBytes   []point // over live processes
	growthScrape, growthCommit []point // over groups
}

// row is a line of the table.
type row struct {
	what, ours, peer, ratio, limit string
	ok                             bool
}

func main() {
	b := &bench{}
	flag.StringVar(&b.bin, "bin", "bin", "directory of elsad and elsactl")
	flag.IntVar(&b.rounds, "rounds", 5, "how often each measurement is made; the table shows medians")
	only := flag.String("only", "", "make only this measurement: storm, build, idle, ledger, journal, archive, packages")
	flag.IntVar(&b.forks, "forks", 10000, "fork+exit pairs of a storm")
	picture := flag.String("picture", "", "write the growth curve to this SVG file")
	markdown := flag.String("markdown", "", "write the table to this file too, between its <!-- bench --> marks")
	reads := flag.String("listen", "", "subscribe to events and read `none` or all of them, until killed (for the program itself)")
	flag.Parse()
	if *reads != "" {
		fmt.Fprintln(os.Stderr, "bench: listen:", listen(*reads))
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	b.ctx = ctx
	if err := b.run(*only, *picture, *markdown); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(only, picture, markdown string) error {
	dir, err := os.MkdirTemp("", "elsa-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b.dir = dir
	defer func() {
		for _, p := range b.running { // after an error
			if p.cmd.ProcessState == nil {
				_ = p.stop()
			}
		}
	}()
	if err := b.buildWorkload(); err != nil {
		return err
	}
	for _, step := range []struct {
		name string
		f    func() error
	}{{"storm", b.storm}, {"build", b.slowdown}, {"idle", b.idle}, {"ledger", b.ledger}, {"journal", b.journaled}, {"archive", b.archive}, {"packages", b.packages}} {
		if only != "" && only != step.name {
			continue
		}
		began := time.Now()
		fmt.Fprintf(os.Stderr, "bench: %s…", step.name)
		if err := step.f(); err != nil {
			fmt.Fprintln(os.Stderr)
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Fprintf(os.Stderr, " %v\n", time.Since(began).Round(time.Second/10))
	}
	table := b.table()
	fmt.Print(table)
	if only != "" {
		return nil // the others' rows stay as they are
	}
	if markdown != "" {
		if err := replaceBlock(markdown, "bench", table); err != nil {
			return err
		}
	}
	if picture != "" {
		return b.growth(picture)
	}
	return nil
}

// median of durations, or of anything ordered.
func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// spread is half the distance of the quartiles, a robust ±.
func spread(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[len(v)*3/4] - v[len(v)/4]) / 2
}
