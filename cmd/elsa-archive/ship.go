// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"elsa/internal/cells"
	"elsa/internal/config"
	"elsa/internal/ship"
	"elsa/pkg/client"
)

// compareEvery is how long after a comparison of what is there the next is due.
const compareEvery = time.Hour

// maxWait is the longest pause between tries that fail.
const maxWait = 15 * time.Minute

// shipCommand delivers what this host bills.
func shipCommand(o *options) *cobra.Command {
	var file, to, socket, textfile string
	var once bool
	cmd := &cobra.Command{
		Use: "ship [--to WHERE] [--once]", Short: "Deliver what this host bills to a place that all hosts share", Args: cobra.NoArgs,
		Long: `Deliver the history of elsad, by the hour, and with stream: processes the files
of the archive, too, to a directory, a bucket of S3 or tables of ClickHouse. The section ship of the
configuration file says where to. What waits is kept in DIR/ship of the archive.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := config.ReadSections(file)
			if err != nil {
				return err
			}
			c := s.Ship
			if c.To = cmp.Or(to, c.To); c.To == "" {
				return fmt.Errorf("%s has no ship: {to: ...}, and there is no --to", file)
			}
			if err := asKeeper(o.dir, adminGroup); err != nil { // whom elsad tells of all cells
				return err
			}
			return o.ship(cmd.Context(), c, socket, textfile, once)
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "config", config.DefaultFile, "the configuration `FILE`, of which this reads the section ship")
	f.StringVar(&to, "to", "", "deliver to `WHERE`: a directory, s3://BUCKET/PREFIX, or clickhouse://HOST/DATABASE")
	f.StringVar(&socket, "elsad-socket", client.DefaultSocket, "ask the elsad whose control socket is at `PATH`")
	f.StringVar(&textfile, "textfile", "", "after each round write metrics to `FILE`, for the textfile collector of node_exporter")
	f.BoolVar(&once, "once", false, "deliver once, compare what is there, and end")
	return cmd
}

func (o *options) ship(ctx context.Context, c config.Ship, socket, textfile string, once bool) error {
	place, err := ship.OpenPlace(c.To)
	if err != nil {
		return err
	}
	elsad := client.New(socket)
	defer elsad.Close()
	spool := filepath.Join(o.dir, "ship")
	options := ship.Options{
		Place: place, Cells: elsad, Spool: spool, Every: c.Every, Again: compareEvery, Now: time.Now,
		Bounds: ship.Bounds{Bytes: c.SpoolBytes, Hours: uint32(24 * c.SpoolDays)},
		Hide:   cells.Hide{Commands: c.HideCommands, Users: c.HideUsers},
	}
	if c.Processes {
		options.Archive = o.dir
	}
	if once {
		options.Again = 0
	}
	unlock, err := lockSpool(spool)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := ship.New(options)
	if err != nil {
		return err
	}
	if once {
		r, err := s.Round(ctx)
		fmt.Fprintln(o.stdout, said(&r))
		return errors.Join(err, writeMetrics(textfile, &r, err, time.Now()))
	}
	o.keepShipping(ctx, s, c.Every, textfile)
	return nil
}

// keepShipping delivers from time to time, and after failures ever less often.
func (o *options) keepShipping(ctx context.Context, s *ship.Shipper, every time.Duration, textfile string) {
	log := slog.New(slog.NewTextHandler(o.stderr, nil))
	log.Info("ready")
	told, lost, wait := "", uint64(0), every
	for {
		r, err := s.Round(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if told != "" {
				log.Info("delivery goes on", "sent", r.Sent, "through", r.Through)
			}
			told, wait = "", every
		default:
			wait = min(2*wait, max(maxWait, every))
			if told != err.Error() {
				log.Error("cannot deliver all; it is tried again", "err", err, "waiting", r.Waiting)
				told = err.Error()
			}
		}
		if r.Resent > 0 {
			log.Warn("what was there was not what was sent; it is sent again", "files", r.Resent)
		}
		if r.Lost.Items > lost {
			log.Error("hours or files were dropped before they could be sent", "files", r.Lost.Items, "cpu_ns", r.Lost.CPU)
		}
		lost = r.Lost.Items
		if err := writeMetrics(textfile, &r, err, time.Now()); err != nil {
			log.Error("cannot write metrics", "err", err)
		}
		// Hosts that start together do not come together.
		pause := time.NewTimer(wait - time.Duration(rand.Int64N(int64(wait)/5+1)))
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}

func said(r *ship.Round) string {
	return fmt.Sprintf("%d hours changed, %d files sent, %d of them again; %d wait; %d were dropped unsent", r.Hours, r.Sent, r.Resent, r.Waiting, r.Lost.Items)
}

// lockSpool makes sure that nobody else delivers from the spool.
func lockSpool(dir string) (unlock func(), err error) {
	if err := unix.Mkdir(dir, 0o750); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("make spool %s: %w", dir, err)
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open spool %s: %w", dir, err)
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("lock spool %s: another elsa-archive ship runs: %w", dir, err)
	}
	return func() { unix.Close(fd) }, nil
}
