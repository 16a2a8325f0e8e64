// SPDX-License-Identifier: Apache-2.0

// Accuracy runs workloads of known shape and compares the CPU time that elsad
// bills for them with the kernel's own count in a control group, and with what
// other accounting tools installed on the machine say of the same run.
//
// Every instrument watches the same processes at the same time: one elsad for
// each choice of sources, GNU acct's sa on the accounting file they all follow,
// and a process-exporter scraped each second. Each workload runs as a user of
// its own, by whom those two tell it from the rest of the machine.
//
// It needs root, and takes the machine's process accounting while it runs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"elsa/pkg/ledger"
	"elsa/test/workload"
)

func main() {
	bin := flag.String("bin", "bin", "directory of elsad and elsactl; empty to leave elsad out")
	runs := flag.Int("runs", 1, "how often to run each workload; the table shows the sums")
	only := flag.String("only", "", "run only the workloads whose name contains this")
	scale := flag.Float64("scale", 1, "size of the workloads; 1 makes each use 1 s of CPU or more")
	tolerance := flag.Float64("tolerance", 0.5, "largest deviation of elsad in percent, twice that below 1 s of CPU; more is an error")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if err := run(ctx, options{*bin, *runs, *only, *scale, *tolerance}, os.Stdout); err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		fmt.Fprintln(os.Stderr, "accuracy:", err)
		os.Exit(1)
	}
}

type options struct {
	bin       string
	runs      int
	only      string
	scale     float64
	tolerance float64
}

// An instrument measures workloads side by side with others.
type instrument interface {
	// name heads the instrument's column.
	name() string
	// begin is told of a process that waits to become the workload, and of
	// the user it runs as.
	begin(ctx context.Context, workload string, pid int, uid uint32) error
	// end returns what the workload used. All of its processes are gone and
	// reaped when it is called.
	end(ctx context.Context, workload string, uid uint32) (reading, error)
}

// reading is what an instrument says of a workload.
type reading struct {
	cpu time.Duration
	// processes that ended, or -1 where the instrument does not count them.
	processes int
	// exact, sampled and rounded say how elsad knows them.
	exact, sampled, rounded int
}

func run(ctx context.Context, o options, out io.Writer) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("needs root: accounting and control groups are root's; use sudo")
	}
	dir, err := os.MkdirTemp("", "elsa-accuracy")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // the workloads' users enter it
		return err
	}
	// What is started below is stopped in the reverse order.
	var closers []func() error
	defer func() {
		for i := len(closers) - 1; i >= 0; i-- {
			err = errors.Join(err, closers[i]())
		}
	}()

	program, err := install(ctx, dir)
	if err != nil {
		return err
	}
	pacct, release, err := accounting(ctx, dir)
	if err != nil {
		return err
	}
	closers = append(closers, release)

	var instruments []instrument
	if o.bin != "" {
		for i, c := range configs {
			d, err := startElsad(ctx, o.bin, filepath.Join(dir, fmt.Sprint("elsad", i)), pacct, c)
			if err != nil {
				return err
			}
			closers = append(closers, d.stop)
			instruments = append(instruments, d)
		}
	}
	if sa, ok := findSA(ctx, pacct); ok {
		instruments = append(instruments, sa)
	}
	exporter, ok, err := startExporter(ctx, dir)
	if err != nil {
		return err
	}
	if ok {
		closers = append(closers, exporter.stop)
		instruments = append(instruments, exporter)
	}

	t := table{instruments: instruments}
	for i, w := range workloads(program, o.scale) {
		if !strings.Contains(w.name, o.only) {
			continue
		}
		var sum row
		for n := range o.runs {
			r, err := measure(ctx, w, dir, fmt.Sprintf("w%d-%d", i, n), uint32(firstUID+i*o.runs+n), pacct, instruments)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			sum.add(r)
		}
		sum.name = w.name
		t.rows = append(t.rows, sum)
		fmt.Fprintf(os.Stderr, "%s:", w.name)
		for _, r := range sum.readings {
			if n := r.exact + r.sampled + r.rounded; n > 0 {
				fmt.Fprintf(os.Stderr, " %d exact, %d sampled, %d rounded;", r.exact, r.sampled, r.rounded)
			}
		}
		fmt.Fprintln(os.Stderr)
	}
	t.print(out)
	if o.bin != "" {
		return t.check(o.tolerance)
	}
	return nil
}

// install puts the workload program where the workloads' users can run it.
func install(ctx context.Context, dir string) (string, error) {
	built, err := workload.Compile(ctx)
	if err != nil {
		return "", err
	}
	program, err := os.ReadFile(built)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "workload")
	return path, os.WriteFile(path, program, 0o755)
}

// accounting switches accounting on, to a file that all instruments follow, and
// returns the file and what puts accounting back. It waits for tests that have
// it on, and refuses to take it from another program.
func accounting(ctx context.Context, dir string) (path string, release func() error, err error) {
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "elsa-acct.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", nil, err
	}
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == unix.EWOULDBLOCK {
		fmt.Fprintln(os.Stderr, "accuracy: waiting for a test that uses accounting")
		err = waitUntil(ctx, 10*time.Minute, func() (bool, error) {
			err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
			return err == nil, nil
		})
	}
	var owned *ledger.Owned
	if err == nil {
		// One segment, however long.
		owned, err = ledger.Own(filepath.Join(dir, "pacct"), ledger.Position{}, ledger.OwnOptions{SegmentSize: 1 << 40, TotalSize: 1 << 41})
	}
	if err != nil {
		lock.Close()
		return "", nil, fmt.Errorf("switch accounting on: %w", err)
	}
	return owned.Path(), func() error { return errors.Join(owned.Close(), lock.Close()) }, nil
}
