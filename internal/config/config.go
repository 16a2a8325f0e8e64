// SPDX-License-Identifier: Apache-2.0

// Package config has what elsad can be told: its flags, and the configuration
// file, which has the same and the rules.
package config

import (
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"elsa/internal/journal"
	"elsa/internal/query"
	"elsa/pkg/client"
)

// defaultMaxGroups is that of package metrics, which elsactl does without.
const defaultMaxGroups = 10000

// Config is what the flags say.
type Config struct {
	StateDir        string
	Socket          string
	Listen          string
	WebConfig       string
	WebMembers      bool
	WebHosts        []string
	Source          string
	Acct            string
	Taskstats       string
	Exact           string
	CommitInterval  time.Duration
	Journal         string
	ArchiveDir      string
	ArchiveSocket   string
	EventBuffer     int
	TaskstatsBuffer int
	MaxGroups       int
	ClosedGrace     time.Duration
	CreatedSamples  bool
	RunRetention    Days

	HistoryRetention Days
	HistoryHours     Days
	HistoryCommands  int

	LogFormat      string
	LogLevel       string
	File           string
	Profile        string
	CheckStore     bool
	StopAccounting bool
}

// Flags adds the flags to f; they set c, at once to the defaults.
func (c *Config) Flags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&c.File, "config", "", "configuration file: every flag by its name, and rules; see elsa.yaml(5)")
	f.StringVar(&c.StateDir, "state-dir", "/var/lib/elsa", "directory of the database elsa.db and of owned accounting segments, pacct/")
	f.StringVar(&c.Socket, "socket", client.DefaultSocket, "control socket")
	f.StringVar(&c.Listen, "web.listen-address", "127.0.0.1:9943", "address of HTTP: /metrics, /-/healthy, /-/ready and the page; port 0 takes a free one")
	f.StringVar(&c.WebConfig, "web.config.file", "", "TLS and authentication of HTTP, in the format of Prometheus's exporters")
	f.StringSliceVar(&c.WebHosts, "web.allowed-hosts", nil, "host names that HTTP answers to, beside those of this machine; without, a listener that others can reach answers to all")
	f.Lookup("web.allowed-hosts").DefValue = "" // not []
	f.BoolVar(&c.WebMembers, "web.members", false, "list the live members of groups on the page, by command and user, for all who can reach it")
	f.StringVar(&c.Source, "source", "auto", "fork events: auto, fork (patched kernel), bpf (kernel with type information) or proc (process connector); auto is the first of these that there is")
	f.StringVar(&c.Acct, "acct", "own", "BSD accounting: own (segments in the state directory), follow:PATH (another tool's file) or off")
	f.StringVar(&c.Taskstats, "taskstats", "auto", "exit records with I/O and memory: auto, on or off; auto is off where events and exact CPU come by BPF and leave nothing out (Linux 6.16 and later)")
	f.StringVar(&c.Exact, "exact", "auto", "exact CPU at task release, by BPF: auto, on or off")
	f.DurationVar(&c.CommitInterval, "commit-interval", time.Second, "how often the bills are made durable")
	f.StringVar(&c.Journal, "journal", "off", "a row for each process that ended, for the archive: on or off")
	f.StringVar(&c.ArchiveDir, "archive-dir", journal.DefaultArchive, "directory of the archive; the journal is in its journal/")
	f.StringVar(&c.ArchiveSocket, "archive-socket", query.DefaultSocket, "where the page asks elsa-archive for the processes of an hour, with --journal on and --web.members")
	f.IntVar(&c.EventBuffer, "event-buffer", 0, "receive buffer for events in bytes: 832 bytes an event by the connectors, taken only while it is used; by bpf 320 bytes a process, its exact record included, until it is committed (a ring that elsad goes on with keeps its size); 0: by memory, a 32nd of it, from 64 MiB to 1 GiB, and 64 MiB for bpf")
	f.IntVar(&c.TaskstatsBuffer, "taskstats-buffer", 0, "receive buffer for taskstats in bytes, taken only while it is used; 1280 bytes or more a thread's end; 0: by memory, as for events")
	f.IntVar(&c.MaxGroups, "metrics.max-groups", defaultMaxGroups, "groups with series of their own; the others are summed in one; negative for no limit")
	f.BoolVar(&c.CreatedSamples, "metrics.created-samples", false, "tell when counters began in the OpenMetrics text format, too, as samples of their own; protobuf has it without")
	f.DurationVar(&c.ClosedGrace, "metrics.closed-grace", 15*time.Minute, "how long a closed group without live processes keeps its series; negative for ever")
	c.RunRetention = Days(90 * 24 * time.Hour)
	f.Var(&c.RunRetention, "run-retention", "how long a group that elsactl run made, or a rule of a template, is kept once its last process ended, in days (90d) or hours; 10000 of elsactl run at most")
	c.HistoryRetention = Days(90 * 24 * time.Hour)
	f.Var(&c.HistoryRetention, "history-retention", "how long sums are kept for elsactl report, in days (90d) or hours")
	c.HistoryHours = Days(7 * 24 * time.Hour)
	f.Var(&c.HistoryHours, "history-hours", "how long hours are told apart; older sums are kept by the UTC day, in days (7d) or hours")
	f.IntVar(&c.HistoryCommands, "history-commands", 1000, "commands told apart within an hour; the others are summed as (other)")
	f.StringVar(&c.LogFormat, "log.format", "text", "text or json")
	f.StringVar(&c.Profile, "debug.cpu-profile", "", "write a profile of elsad's own CPU time to this file, for go tool pprof")
	f.BoolVar(&c.CheckStore, "check", false, "verify the database and end; the service must not be running")
	f.BoolVar(&c.StopAccounting, "stop-accounting", false, "switch off accounting that a crashed elsad left on, and end")
	f.StringVar(&c.LogLevel, "log.level", "info", "debug, info, warn or error")
}

// Check refuses values that make no sense.
func (c *Config) Check() error {
	for _, e := range []struct {
		flag, value string
		allowed     []string
	}{
		{"source", c.Source, []string{"auto", "fork", "bpf", "proc"}},
		{"taskstats", c.Taskstats, []string{"auto", "on", "off"}},
		{"exact", c.Exact, []string{"auto", "on", "off"}},
		{"journal", c.Journal, []string{"on", "off"}},
		{"log.format", c.LogFormat, []string{"text", "json"}},
	} {
		ok := false
		for _, a := range e.allowed {
			ok = ok || a == e.value
		}
		if !ok {
			return fmt.Errorf("bad --%s %q: use %s", e.flag, e.value, strings.Join(e.allowed, ", "))
		}
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return fmt.Errorf("bad --log.level %q: use debug, info, warn or error", c.LogLevel)
	}
	if path, follow := c.Follow(); c.Acct != "own" && c.Acct != "off" && (!follow || path == "") {
		return fmt.Errorf("bad --acct %q: use own, follow:PATH or off", c.Acct)
	}
	if c.CommitInterval < 10*time.Millisecond || c.CommitInterval > time.Hour {
		return fmt.Errorf("bad --commit-interval %v: use 10ms to 1h", c.CommitInterval)
	}
	if c.EventBuffer != 0 && (c.EventBuffer < 4096 || c.EventBuffer > 1<<30) {
		return fmt.Errorf("bad --event-buffer %d: use 0, or 4096 to %d", c.EventBuffer, 1<<30)
	}
	if c.TaskstatsBuffer != 0 && (c.TaskstatsBuffer < 4096 || c.TaskstatsBuffer > 1<<30) {
		return fmt.Errorf("bad --taskstats-buffer %d: use 0, or 4096 to %d", c.TaskstatsBuffer, 1<<30)
	}
	if time.Duration(c.RunRetention) < time.Minute {
		return fmt.Errorf("bad --run-retention %v: use 1m or more", &c.RunRetention)
	}
	if time.Duration(c.HistoryRetention) < time.Hour {
		return fmt.Errorf("bad --history-retention %v: use 1h or more", &c.HistoryRetention)
	}
	if time.Duration(c.HistoryHours) < 24*time.Hour {
		return fmt.Errorf("bad --history-hours %v: use 1d or more", &c.HistoryHours)
	}
	if c.HistoryCommands < 1 || c.HistoryCommands > 1e6 {
		return fmt.Errorf("bad --history-commands %d: use 1 to 1000000", c.HistoryCommands)
	}
	if c.StateDir == "" || c.Socket == "" {
		return fmt.Errorf("bad --state-dir or --socket: it is empty")
	}
	return nil
}

// Follow returns the path of --acct follow:PATH.
func (c *Config) Follow() (string, bool) { return strings.CutPrefix(c.Acct, "follow:") }

// Logger returns the logger that the flags ask for, on w. They were checked.
func (c *Config) Logger(w io.Writer) *slog.Logger {
	var level slog.Level
	level.UnmarshalText([]byte(c.LogLevel))
	o := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// Database is the path of the database.
func (c *Config) Database() string { return filepath.Join(c.StateDir, "elsa.db") }

// Days is a duration on the command line that may be given in days: 90d.
type Days time.Duration

func (d *Days) String() string {
	if v := time.Duration(*d); v%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", v/(24*time.Hour))
	}
	return time.Duration(*d).String()
}

func (d *Days) Set(s string) error {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		v, err := strconv.ParseFloat(n, 64)
		if err != nil || v < 0 || v > 36500 {
			return fmt.Errorf("use a number of days, as in 90d")
		}
		*d = Days(v * 24 * float64(time.Hour))
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("use days or hours, as in 90d or 36h")
	}
	*d = Days(v)
	return nil
}

func (d *Days) Type() string { return "duration" }
