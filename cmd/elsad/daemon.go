// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"elsa/internal/build"
	"elsa/internal/config"
	"elsa/internal/control"
	"elsa/internal/engine"
	"elsa/internal/history"
	"elsa/internal/metrics"
	"elsa/internal/nss"
	"elsa/internal/pipeline"
	"elsa/internal/rules"
	"elsa/internal/store"
	"elsa/internal/tally"
	"elsa/internal/web"
	"elsa/pkg/api"
	"elsa/pkg/cnfork"
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
		return withAdvice(err, cfg)
	}
	defer closing(&err, db.Close)
	state, err := db.Load()
	if err != nil {
		return err
	}

	// The doors: control socket and HTTP. They are answered once we are ready.
	refused := &tally.Shared{}
	processes := proc.NewBounded(proc.Default)
	service := &control.Service{Refused: refused, Store: db, Proc: processes, Version: build.Version(), Source: uuid(sourceID(state))}
	if service.Host, err = os.Hostname(); err != nil {
		return fmt.Errorf("read host name: %w", err)
	}
	show := func(ctx context.Context) *usage.Snapshot { return service.Pipeline.Show(ctx) }
	socket, err := api.Listen(cfg.Socket)
	if err != nil {
		return err
	}
	defer socket.Close()
	socket.Refused = refused
	limits, err := newBudgets(cfg.File, cfg.MaxGroups)
	if err != nil {
		return err
	}
	names := nss.New(refused)
	owner := func(uid uint32) string {
		name, _ := names.User(uid)
		return name
	}
	exporter := metrics.New(metrics.Options{
		Budgets:  limits.current,
		Snapshot: show, MaxGroups: cfg.MaxGroups, ClosedGrace: cfg.ClosedGrace, CreatedSamples: cfg.CreatedSamples, Version: build.Version(), Log: log,
		Owner: owner,
	})
	pages := web.Options{Snapshot: show, Cells: service.PageCells, User: owner, CPUs: proc.CPUs(), Version: build.Version(), Log: log}
	if cfg.WebMembers {
		pages.Members = service.PageMembers
	}
	page := web.NewPage(pages)
	http, err := web.Listen(web.ServerOptions{
		Addr: cfg.Listen, ConfigFile: cfg.WebConfig, Hosts: cfg.WebHosts, Refused: refused, Log: log,
	}, web.Routes(exporter.Handler(), page, func() error { return nil }, refused))
	if err != nil {
		return err
	}

	// Names that rules are about, also those that no file has.
	wantNames(ctx, names, set, log)
	service.Names, socket.UnixGroup = names, names.GroupID

	// The streams: what the kernel says about forks and deaths.
	src, err := open(ctx, cfg, log, &state.Meta)
	if err != nil {
		return err
	}
	defer closing(&err, src.close)
	know, err := newEngine(cfg, set, names, src, db, processes, refused, log)
	if err != nil {
		return err
	}

	// The rows of those that end, for the archive.
	rows, err := newJournal(cfg, state, func(uid uint32) string { name, _ := names.User(uid); return name }, log)
	if err != nil {
		return err
	}
	if rows != nil {
		defer closing(&err, rows.Close)
	}

	tasks, ctx := errgroup.WithContext(ctx)
	streams, stopStreams := context.WithCancel(context.WithoutCancel(ctx))
	defer stopStreams()
	src.run(tasks, streams)

	// The one goroutine that owns what is known.
	p := pipeline.New(pipeline.Options{
		Engine: know, Sources: src.Sources, Store: db, Journal: rows, Proc: processes, Service: src.service,
		Interval: cfg.CommitInterval, RunRetention: time.Duration(cfg.RunRetention),
		Observe: exporter.ObserveCommit, Keeper: manager{}, Notify: notify, Log: log,
	})
	service.Pipeline = p

	// What was there before: members, forks we missed, the ledger's backlog.
	if err := p.Restore(state, src.resumed, os.Stderr); err != nil {
		stopStreams()
		tasks.Wait()
		return err
	}
	warnHidden(log)

	// The tasks. The pipeline's last step still reads the streams.
	tasks.Go(func() error { defer stopStreams(); return p.Run(ctx) })
	tasks.Go(func() error { return api.Serve(ctx, socket, service, log) })
	tasks.Go(func() error { return http.Run(ctx) })
	tasks.Go(func() error { return watchPage(ctx, p, page) })
	tasks.Go(func() error { return reload(ctx, p, names, limits, cfg.File, log) })
	tasks.Go(func() error { return limits.run(ctx, show, p, log) })
	tasks.Go(func() error { return names.Run(ctx, func() { named(ctx, p, log) }) })
	tasks.Go(func() error { return watchdog(ctx, p) })
	tasks.Go(func() error { return trim(ctx, p) })

	log.Info("ready", "address", http.Addr().String(), "socket", cfg.Socket, "events", src.service.EventSource,
		"acct", src.service.Accounting, "taskstats", src.service.Taskstats, "exact", src.service.Exact)
	notify(daemon.SdNotifyReady + "\nSTATUS=") // and clears what the replay said
	err = tasks.Wait()
	if err == nil { // after a failure the next start goes on with it
		err = pins(cfg).Remove()
	}
	notify(daemon.SdNotifyStopping)
	return err
}

// newEngine returns an engine for what the sources can tell.
func newEngine(cfg *config.Config, set *rules.Set, names rules.Names, src *sources, db *store.Store, processes *proc.Bounded, refused *tally.Shared, log *slog.Logger) (*engine.Engine, error) {
	now := engine.Now{Boot: proc.Now(), Wall: time.Now().Round(0)}
	return engine.New(engine.Options{
		World:   pipeline.NewWorld(processes, names, refused),
		NoExits: src.events.Source() == cnfork.SourceFork, WholeExits: src.events.Source() == cnfork.SourceBPF, Resumed: src.resumed,
		ExpectExact: src.Exact != nil, ExactResumed: src.exactResumed,
		Ledger: src.Ledger != nil, LedgerSince: src.ledgerSince,
		Commands: cfg.HistoryCommands, Retention: time.Duration(cfg.HistoryRetention), Hours: time.Duration(cfg.HistoryHours),
		KnownCommands: func(hour uint32) []string { return knownCommands(db, hour, log) },
		Rules:         set,
		Refused:       refused,
		Rows:          cfg.Journal == "on",
	}, now)
}

// knownTimeout is how long the pipeline waits for the commands of an hour, which are
// on a page or two. Without them some more are told apart than there should be.
const knownTimeout = 200 * time.Millisecond

// knownCommands are the commands that the database has of an hour; none if the disk
// does not answer.
func knownCommands(db *store.Store, hour uint32, log *slog.Logger) []string {
	type answer struct {
		known []string
		err   error
	}
	read := make(chan answer, 1)
	go func() {
		var a answer
		a.err = db.History(hour, hour+1, func(k *history.Key, _ *usage.Usage) error {
			a.known = append(a.known, k.Command)
			return nil
		})
		read <- a
	}()
	var a answer
	select {
	case a = <-read:
	case <-time.After(knownTimeout):
		a.err = errors.New("the disk does not answer")
	}
	if a.err != nil {
		log.Error("cannot read history", "err", fmt.Errorf("commands of hour %d: %w", hour, a.err))
	}
	return a.known
}

// closing closes something at the end and keeps the first error.
func closing(err *error, close func() error) {
	if e := close(); *err == nil {
		*err = e
	}
}
