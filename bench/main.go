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
	flag.IntVar(&b.forks, "forks", 10000, "fork+exit pairs of a storm")
	picture := flag.String("picture", "", "write the growth curve to this SVG file")
	markdown := flag.String("markdown", "", "write the table to this file too, between its <!-- bench --> marks")
	idle := flag.Bool("listen", false, "subscribe to events, read none, until killed (for the program itself)")
	flag.Parse()
	if *idle {
		listen()
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	b.ctx = ctx
	if err := b.run(*picture, *markdown); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(picture, markdown string) error {
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
	for _, step := range []struct {
		name string
		f    func() error
	}{
		{"build the workload", b.buildWorkload},
		{"storm", b.storm},
		{"build", b.slowdown},
		{"idle", b.idle},
		{"ledger", b.ledger},
		{"benchmarks of the packages", b.packages},
	} {
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
