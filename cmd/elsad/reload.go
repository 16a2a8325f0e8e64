// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"elsa/internal/config"
	"elsa/internal/nss"
	"elsa/internal/pipeline"
	"elsa/internal/rules"
)

// reload follows SIGHUP: it reads the configuration file again and puts its
// rules and budgets in place of the old ones. Counts go on. A bad file changes nothing.
// Options take a restart, and it says which have changed. What is known of names is
// forgotten.
func reload(ctx context.Context, p *pipeline.Pipeline, names *nss.Names, limits *budgets, path string, log *slog.Logger) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, unix.SIGHUP)
	defer signal.Stop(hup)
	var running *pflag.FlagSet // what the file said at the start
	if path != "" {
		running, _, _ = readAgain(path)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
		}
		names.Forget()
		if path == "" {
			log.Info("nothing to read again: there is no --config")
			continue
		}
		flags, set, err := readAgain(path)
		if err != nil {
			log.Error("configuration is not taken over; the old rules stay", "err", err)
			continue
		}
		if err := limits.read(path); err != nil {
			log.Error("budgets are not taken over; the old ones stay", "err", err)
		}
		if names := changedFlags(running, flags); len(names) > 0 {
			log.Warn("options changed in the configuration; they take a restart", "options", strings.Join(names, " "))
		}
		wantNames(ctx, names, set, log)
		if err := p.SetRules(ctx, set); err == nil {
			log.Info("rules read again", "rules", len(set.Rules))
		}
	}
}

// configured reads the configuration file, if there is one.
func configured(path string, flags *pflag.FlagSet) (*rules.Set, error) {
	if path == "" {
		return &rules.Set{}, nil
	}
	return config.ReadFile(path, flags)
}

// readAgain reads the configuration file alone, without the command line.
func readAgain(path string) (*pflag.FlagSet, *rules.Set, error) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	new(config.Config).Flags(flags)
	set, err := config.ReadFile(path, flags)
	return flags, set, err
}

// changedFlags are the flags whose values differ.
func changedFlags(a, b *pflag.FlagSet) (names []string) {
	b.VisitAll(func(f *pflag.Flag) {
		if a.Lookup(f.Name).Value.String() != f.Value.String() {
			names = append(names, f.Name)
		}
	})
	return names
}
