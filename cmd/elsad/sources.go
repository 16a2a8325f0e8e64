// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

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
	"elsa/pkg/taskevent"
	"elsa/pkg/taskstats"
	"elsa/pkg/tracepoint"
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
	ring        *tracepoint.Source // of BPF; nil without one
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
	var names []string // of an earlier ring
	for name := range kept.fds {
		if strings.HasPrefix(name, pipeline.NameRing) {
			names = append(names, name)
		}
	}
	if err := s.openEvents(ctx, cfg, log, kept); err != nil {
		return s, err
	}
	if err := s.openTaskstats(ctx, cfg, log, kept); err != nil {
		return s, err
	}
	if err := s.openLedger(cfg, meta.Position); err != nil {
		return s, err
	}
	// Last: a start that is refused leaves nothing behind.
	if !s.exactResumed && !(s.RingEvents && s.resumed) {
		keepRing(cfg, s.ring, names, log)
	}
	return s, nil
}

func (s *sources) openEvents(ctx context.Context, cfg *config.Config, log *slog.Logger, kept *kept) error {
	source, err := cnfork.ParseSource(cfg.Source)
	if err != nil {
		return err
	}
	opened, err := feed.Open(ctx, feed.Options{
		Source: source, Exact: feed.Mode(cfg.Exact), Buffer: cfg.EventBuffer, Kept: kept.ring(cfg),
		Connector: func(source cnfork.Source) feed.Feed { return kept.events(ctx, source, cfg.EventBuffer) },
	})
	if err != nil {
		return err
	}
	s.Events, s.events, s.stopEvents = opened.Feed, opened.Feed, opened.Feed.Close
	s.resumed, s.service.EventSource = opened.Resumed, opened.Source().String()
	s.closes = append(s.closes, func() error { return s.stopEvents() })
	if opened.Passed != nil {
		log.Debug("events by "+s.service.EventSource, "passed", opened.Passed)
	}
	s.takeExact(opened, cfg, log)
	if s.ring = opened.Ring; s.ring != nil {
		s.Ring, s.RingEvents = s.ring, opened.Source() == cnfork.SourceBPF
		s.closes = append(s.closes, s.ring.Close)
	}
	return nil
}

// takeExact takes records of released tasks, if there are.
func (s *sources) takeExact(opened feed.Opened, cfg *config.Config, log *slog.Logger) {
	s.service.Exact, s.exactResumed = "off", opened.ExactResumed
	switch {
	case opened.Exact != nil:
		s.Exact, s.service.Exact, s.service.ExactMissing = opened.Exact, "on", opened.Exact.Missing()
		s.tasks = append(s.tasks, opened.Exact.Run)
	case cfg.Exact != "off":
		log.Warn("exact CPU is off: CPU is sampled by the tick", "err", opened.Refused)
		s.service.Exact = "off: " + opened.Refused.Error()
	}
}

// releasesTellAll reports whether taskstats would add nothing to the records of
// released tasks: what those lack comes with the end of the process, and none is left
// out.
func (s *sources) releasesTellAll() bool {
	if !s.RingEvents || s.Exact == nil || len(s.service.ExactMissing) > 0 {
		return false
	}
	peak, err := taskevent.TellsPeak()
	return err == nil && peak && !tracepoint.Guarded()
}

func (s *sources) openTaskstats(ctx context.Context, cfg *config.Config, log *slog.Logger, kept *kept) error {
	s.service.Taskstats = "off"
	if cfg.Taskstats == "off" || cfg.Taskstats == "auto" && s.releasesTellAll() {
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
