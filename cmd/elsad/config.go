// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"elsa/pkg/api"
	"elsa/pkg/metrics"
)

// config is what the flags say.
type config struct {
	stateDir       string
	socket         string
	listen         string
	webConfig      string
	source         string
	acct           string
	taskstats      string
	exact          string
	commitInterval time.Duration
	buffer         int
	recordBuffer   int
	maxGroups      int

	historyRetention days
	historyCommands  int

	logFormat      string
	logLevel       string
	file           string
	profile        string
	checkStore     bool
	stopAccounting bool
}

func defaults() *config { return &config{} }

func (c *config) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&c.file, "config", "", "configuration file: every flag by its name, and rules; see elsa.conf(5)")
	f.StringVar(&c.stateDir, "state-dir", "/var/lib/elsa", "directory of the database elsa.db and of owned accounting segments, pacct/")
	f.StringVar(&c.socket, "socket", api.DefaultSocket, "control socket")
	f.StringVar(&c.listen, "web.listen-address", "127.0.0.1:9943", "address of HTTP: /metrics, /-/healthy, /-/ready and the page; port 0 takes a free one")
	f.StringVar(&c.webConfig, "web.config.file", "", "TLS and authentication of HTTP, in the format of Prometheus's exporters")
	f.StringVar(&c.source, "source", "auto", "fork events: auto, proc (process connector) or fork (patched kernel); auto prefers fork where it answers")
	f.StringVar(&c.acct, "acct", "own", "BSD accounting: own (segments in the state directory), follow:PATH (another tool's file) or off")
	f.StringVar(&c.taskstats, "taskstats", "auto", "exit records with I/O and memory: auto, on or off")
	f.StringVar(&c.exact, "exact", "auto", "exact CPU at task release, by BPF: auto, on or off")
	f.DurationVar(&c.commitInterval, "commit-interval", time.Second, "how often the bills are made durable")
	f.IntVar(&c.buffer, "event-buffer", 64<<20, "receive buffer for events in bytes; 832 bytes an event")
	f.IntVar(&c.recordBuffer, "taskstats-buffer", 64<<20, "receive buffer for taskstats in bytes; 1280 bytes or more a thread's end")
	f.IntVar(&c.maxGroups, "metrics.max-groups", metrics.DefaultMaxGroups, "groups with series of their own; the others are summed in one; negative for no limit")
	c.historyRetention = days(90 * 24 * time.Hour)
	f.Var(&c.historyRetention, "history-retention", "how long hourly sums are kept for elsactl report, in days (90d) or hours")
	f.IntVar(&c.historyCommands, "history-commands", 1000, "commands told apart within an hour; the others are summed as (other)")
	f.StringVar(&c.logFormat, "log.format", "text", "text or json")
	f.StringVar(&c.profile, "debug.cpu-profile", "", "write a profile of elsad's own CPU time to this file, for go tool pprof")
	f.BoolVar(&c.checkStore, "check", false, "verify the database and end; the service must not be running")
	f.BoolVar(&c.stopAccounting, "stop-accounting", false, "switch off accounting that a crashed elsad left on, and end")
	f.StringVar(&c.logLevel, "log.level", "info", "debug, info, warn or error")
}

// check refuses values that make no sense.
func (c *config) check() error {
	for _, e := range []struct {
		flag, value string
		allowed     []string
	}{
		{"source", c.source, []string{"auto", "proc", "fork"}},
		{"taskstats", c.taskstats, []string{"auto", "on", "off"}},
		{"exact", c.exact, []string{"auto", "on", "off"}},
		{"log.format", c.logFormat, []string{"text", "json"}},
	} {
		ok := false
		for _, a := range e.allowed {
			ok = ok || a == e.value
		}
		if !ok {
			return fmt.Errorf("bad --%s %q: use %s", e.flag, e.value, strings.Join(e.allowed, ", "))
		}
	}
	if path, follow := c.follow(); c.acct != "own" && c.acct != "off" && (!follow || path == "") {
		return fmt.Errorf("bad --acct %q: use own, follow:PATH or off", c.acct)
	}
	if c.commitInterval < 10*time.Millisecond || c.commitInterval > time.Hour {
		return fmt.Errorf("bad --commit-interval %v: use 10ms to 1h", c.commitInterval)
	}
	if c.buffer < 4096 || c.buffer > 1<<30 {
		return fmt.Errorf("bad --event-buffer %d: use 4096 to %d", c.buffer, 1<<30)
	}
	if c.recordBuffer < 4096 || c.recordBuffer > 1<<30 {
		return fmt.Errorf("bad --taskstats-buffer %d: use 4096 to %d", c.recordBuffer, 1<<30)
	}
	if time.Duration(c.historyRetention) < time.Hour {
		return fmt.Errorf("bad --history-retention %v: use 1h or more", &c.historyRetention)
	}
	if c.historyCommands < 1 || c.historyCommands > 1e6 {
		return fmt.Errorf("bad --history-commands %d: use 1 to 1000000", c.historyCommands)
	}
	if c.stateDir == "" || c.socket == "" {
		return fmt.Errorf("bad --state-dir or --socket: it is empty")
	}
	return nil
}

// follow returns the path of --acct follow:PATH.
func (c *config) follow() (string, bool) { return strings.CutPrefix(c.acct, "follow:") }

func (c *config) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.logLevel)); err != nil {
		return nil, fmt.Errorf("bad --log.level %q: use debug, info, warn or error", c.logLevel)
	}
	o := &slog.HandlerOptions{Level: level}
	if c.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return slog.New(slog.NewTextHandler(w, o)), nil
}

// release is set by the linker for a release.
var release = ""

func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}
