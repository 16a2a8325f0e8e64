// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"elsa/internal/config"
	"elsa/internal/metrics"
	"elsa/internal/rules"
	"elsa/internal/store"
	"elsa/internal/web"
	"elsa/pkg/api"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/usage"
)

// serve is the service from start to end. Everything that can be refused is
// refused before the service is ready, and what was switched on is switched off
// again, whatever happens.
func serve(ctx context.Context, cfg *config.Config, set *rules.Set, log *slog.Logger) (err error) {
	// Durable state: the database is also the lock against a second elsad.
	if err := makeStateDir(cfg.StateDir); err != nil {
		return err
	}
	db, err := store.Open(cfg.Database(), time.Now())
	if err != nil {
		return mend(err, cfg)
	}
	defer closing(&err, db.Close)

	state, err := db.Load()
	if err != nil {
		return err
	}

	// The doors: control socket and HTTP. They are answered once we are ready.
	control, err := api.Listen(cfg.Socket)
	if err != nil {
		return err
	}
	defer control.Close()

	c := &core{
		log: log, proc: proc.Default, interval: cfg.CommitInterval, runRetention: time.Duration(cfg.RunRetention), store: db,
		tracker: groups.New(groups.NewSets()), join: usage.NewJoin(),
		sampler: proc.Default.NewSampler(), rules: set, names: rules.Names{},
		requests: make(chan func()), stopped: make(chan struct{}),
	}
	c.keepLineage()
	c.keepHistory(cfg.HistoryCommands, time.Duration(cfg.HistoryRetention), time.Duration(cfg.HistoryHours))
	readers := newLive(c)
	exporter := metrics.New(metrics.Options{
		Snapshot:  func(ctx context.Context) *usage.Snapshot { return c.show(ctx, readers) },
		MaxGroups: cfg.MaxGroups, ClosedGrace: cfg.ClosedGrace, Version: version(), Log: log,
	})
	c.observe = exporter.ObserveCommit
	pages := web.Options{
		Snapshot: func(ctx context.Context) *usage.Snapshot { return c.show(ctx, readers) },
		Version:  version(), Log: log,
	}
	if cfg.WebMembers {
		pages.Members = c.pageMembers
	}
	page := web.NewPage(pages)
	http, err := web.Listen(cfg.Listen, cfg.WebConfig, web.Routes(exporter.Handler(), page, func() error { return nil }), log)
	if err != nil {
		return err
	}

	// The streams: what the kernel says about forks and deaths.
	src, err := open(ctx, cfg, log, &state.Meta, c)
	if err != nil {
		return err
	}
	defer closing(&err, src.close)

	tasks, ctx := errgroup.WithContext(ctx)
	streams, stopStreams := context.WithCancel(context.WithoutCancel(ctx))
	defer stopStreams()
	src.run(tasks, streams, c)

	// What was there before: members, forks we missed, the ledger's backlog.
	c.replay = newReplay(log, os.Stderr)
	if err := c.restore(state); err != nil {
		stopStreams()
		tasks.Wait()
		return err
	}
	if err := c.applyToAll(); err != nil {
		stopStreams()
		tasks.Wait()
		return err
	}
	warnHidden(log)
	c.service.Started = time.Now()

	tasks.Go(func() error {
		defer stopStreams() // the core's last step still reads them
		return c.run(ctx)
	})
	tasks.Go(func() error {
		return api.Serve(ctx, control, &service{core: c, live: readers, version: version()}, log)
	})
	tasks.Go(func() error { return http.Run(ctx) })
	tasks.Go(func() error { return watchPage(ctx, c, readers, page) })
	tasks.Go(func() error { return reload(ctx, c, cfg.File) })
	tasks.Go(func() error { return watchdog(ctx, c) })
	tasks.Go(func() error { return trim(ctx, c) })

	log.Info("ready", "address", http.Addr().String(), "socket", cfg.Socket, "events", c.service.EventSource,
		"acct", c.service.Accounting, "taskstats", c.service.Taskstats, "exact", c.service.Exact)
	daemon.SdNotify(false, daemon.SdNotifyReady+"\nSTATUS=") // of the replay is over
	err = tasks.Wait()
	daemon.SdNotify(false, daemon.SdNotifyStopping)
	return err
}

// closing closes something at the end and keeps the first error.
func closing(err *error, close func() error) {
	if e := close(); *err == nil {
		*err = e
	}
}

// show is a snapshot for the exporter; nil when there is none.
func (c *core) show(ctx context.Context, l *live) *usage.Snapshot {
	s, err := c.snapshot(ctx, l)
	if err != nil {
		c.log.Warn("cannot take a snapshot", "err", err)
		return nil
	}
	return s
}

// watchdog tells systemd that the core still turns.
func watchdog(ctx context.Context, c *core) error {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		return nil
	}
	tick := time.NewTicker(every / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if c.do(ctx, func() {}) == nil {
				daemon.SdNotify(false, daemon.SdNotifyWatchdog)
			}
		}
	}
}
