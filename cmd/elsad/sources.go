// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"elsa/internal/config"
	"elsa/internal/feed"
	"elsa/internal/pipeline"
	"elsa/internal/store"
	"elsa/pkg/clock"
	"elsa/pkg/cnfork"
	"elsa/pkg/ledger"
	"elsa/pkg/proc"
	"elsa/pkg/stream"
	"elsa/pkg/taskrelease"
	"elsa/pkg/taskstats"
	"elsa/pkg/usage"
)

// sources holds what was opened, to run and to close.
type sources struct {
	pipeline.Sources
	// service is what status says of the sources.
	service usage.Service
	// resumed and exactResumed: events, and records of releases, go on where the
	// last run left them.
	resumed, exactResumed bool
	// ledgerSince is when the ledger was switched on or found, by CLOCK_BOOTTIME.
	ledgerSince clock.Boot

	tasks  []func(context.Context) error
	closes []func() error

	events      feed.Feed
	buffer      int
	stopEvents  func() error // ends its Run and closes it
	pauseEvents func()       // ends its Run
}

// run starts reading. The pipeline may ask for a new stream of events later.
func (s *sources) run(g *errgroup.Group, ctx context.Context) {
	records, pauseRecords := context.WithCancel(ctx)
	for _, t := range s.tasks {
		g.Go(func() error { return t(records) })
	}
	s.runEvents(g, ctx)
	s.Pause = func() { s.pauseEvents(); pauseRecords() }
	if s.events.Source() == cnfork.SourceBPF {
		return // no overrun makes it fall silent
	}
	s.Reopen = func() (stream.Source[cnfork.Event], error) {
		conn, err := cnfork.Dial(ctx, cnfork.Config{Source: s.events.Source(), Buffer: s.buffer})
		if err != nil {
			return nil, err
		}
		if old, ok := s.events.(*cnfork.Conn); ok {
			old.Forsake()
		}
		if err := s.stopEvents(); err != nil {
			return nil, err
		}
		s.events = conn
		s.runEvents(g, ctx)
		return conn, nil
	}
}

func (s *sources) runEvents(g *errgroup.Group, ctx context.Context) {
	conn := s.events
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	g.Go(func() error {
		defer close(ended)
		return conn.Run(ctx)
	})
	s.pauseEvents = cancel
	s.stopEvents = func() error {
		cancel()
		<-ended
		return conn.Close()
	}
}

// close closes everything, last opened first.
func (s *sources) close() error {
	var errs []error
	for i := len(s.closes) - 1; i >= 0; i-- {
		errs = append(errs, s.closes[i]())
	}
	return errors.Join(errs...)
}

// open opens the streams and the ledger. The ledger
// is switched on after the events are subscribed to: a process whose line is in
// the ledger was forked under our eyes or is found in /proc. It goes on
// where meta says.
func open(ctx context.Context, cfg *config.Config, log *slog.Logger, meta *store.Meta) (s *sources, err error) {
	s = &sources{buffer: cfg.EventBuffer}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	kept := takeStored(meta, log)
	defer kept.close()
	if err := s.openEvents(ctx, cfg, log, kept); err != nil {
		return s, err
	}
	if err := s.openTaskstats(ctx, cfg, log, kept); err != nil {
		return s, err
	}
	if err := s.openExact(ctx, cfg, log, kept); err != nil {
		return s, err
	}
	return s, s.openLedger(cfg, meta.Position)
}

func (s *sources) openEvents(ctx context.Context, cfg *config.Config, log *slog.Logger, kept *kept) error {
	source, err := cnfork.ParseSource(cfg.Source)
	if err != nil {
		return err
	}
	opened, err := feed.Open(ctx, feed.Options{
		Source: source, Buffer: cfg.EventBuffer,
		Resume: func(source cnfork.Source) feed.Feed { return kept.events(ctx, source, cfg.EventBuffer) },
	})
	if err != nil {
		return err
	}
	s.Events, s.events, s.stopEvents = opened.Feed, opened.Feed, opened.Feed.Close
	s.resumed, s.service.EventSource = opened.Resumed, opened.Source().String()
	s.closes = append(s.closes, func() error { return s.stopEvents() })
	return nil
}

func (s *sources) openTaskstats(ctx context.Context, cfg *config.Config, log *slog.Logger, kept *kept) error {
	s.service.Taskstats = "off"
	if cfg.Taskstats == "off" {
		return nil
	}
	conn := kept.taskstats(ctx)
	var err error
	if conn == nil {
		conn, err = taskstats.Dial(ctx, taskstats.Config{ReadBuffer: cfg.TaskstatsBuffer})
	}
	if err != nil {
		if cfg.Taskstats == "on" {
			return err
		}
		log.Warn("taskstats is off: no I/O and memory of processes without an exact record", "err", err)
		s.service.Taskstats = "off: " + err.Error()
		return nil
	}
	s.Taskstats, s.service.Taskstats = conn, "on"
	s.tasks = append(s.tasks, conn.Run)
	s.closes = append(s.closes, conn.Close)
	return nil
}

func (s *sources) openExact(ctx context.Context, cfg *config.Config, log *slog.Logger, kept *kept) error {
	s.service.Exact = "off"
	if cfg.Exact == "off" {
		return nil
	}
	src := kept.exact()
	var err error
	if s.exactResumed = src != nil; !s.exactResumed {
		src, err = taskrelease.Dial(ctx, taskrelease.Config{})
	}
	if err != nil {
		if cfg.Exact == "on" {
			return err
		}
		log.Warn("exact CPU is off: CPU is sampled by the tick", "err", err)
		s.service.Exact = "off: " + err.Error()
		return nil
	}
	s.Exact, s.service.Exact, s.service.ExactMissing = src, "on", src.Missing()
	s.tasks = append(s.tasks, src.Run)
	s.closes = append(s.closes, src.Close)
	return nil
}

func (s *sources) openLedger(cfg *config.Config, from ledger.Position) error {
	s.service.Accounting = cfg.Acct
	if cfg.Acct == "off" {
		return nil
	}
	var err error
	if path, follow := cfg.Follow(); follow {
		s.Ledger, err = ledger.Follow(path, from)
	} else {
		s.Ledger, err = ledger.Own(filepath.Join(cfg.StateDir, "pacct"), from, ledger.OwnOptions{})
	}
	if err != nil {
		return err
	}
	s.ledgerSince = proc.Now()
	s.closes = append(s.closes, s.Ledger.Close)
	return nil
}

// withAdvice adds to an error of the store what the user can do.
func withAdvice(err error, cfg *config.Config) error {
	if errors.Is(err, store.ErrBusy) {
		return fmt.Errorf("%w: is another elsad running on %s? stop it, or use another --state-dir", err, cfg.StateDir)
	}
	return err
}
