// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"elsa/internal/chdb"
	"elsa/internal/control"
	"elsa/internal/engine"
	"elsa/internal/history"
	"elsa/internal/kerneltest"
	"elsa/internal/pipeline"
	"elsa/internal/query"
	"elsa/internal/rules"
	"elsa/internal/store"
	"elsa/internal/tally"
	"elsa/pkg/acct"
	"elsa/pkg/api"
	"elsa/pkg/client"
	"elsa/pkg/cnfork"
	"elsa/pkg/proc"
	"elsa/pkg/stream"
	"elsa/pkg/usage"
)

// machine is a host: its database, and a service that answers from it.
type machine struct {
	db     *store.Store
	socket string
	spool  string // the archive's directory
	client *client.Client
}

// newMachine is a service without any source of the kernel's, on a database of its own.
func newMachine(t *testing.T, n int) *machine {
	t.Helper()
	dir := t.TempDir()
	now := time.Now()
	db, err := store.Open(filepath.Join(dir, "elsa.db"), now.Add(-24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	st, err := db.Load()
	if err != nil {
		t.Fatal(err)
	}
	refused := &tally.Shared{}
	processes := proc.NewBounded(proc.Default)
	e, err := engine.New(engine.Options{
		World: pipeline.NewWorld(processes, rules.Numbers{}, nil), Commands: 1000, Retention: 90 * 24 * time.Hour, Hours: 7 * 24 * time.Hour,
		KnownCommands: func(uint32) []string { return nil }, Rules: &rules.Set{}, Refused: refused,
	}, engine.Now{Boot: proc.Now(), Wall: now})
	if err != nil {
		t.Fatal(err)
	}
	p := pipeline.New(pipeline.Options{
		Engine: e, Store: db, Proc: processes, Interval: time.Hour, Log: slog.New(slog.DiscardHandler),
		Sources: pipeline.Sources{Events: stream.NewMemory[cnfork.Event](), Taskstats: stream.NewMemory[acct.Record](), Exact: stream.NewMemory[acct.Record]()},
	})
	if err := p.Restore(st, false, os.Stderr); err != nil {
		t.Fatal(err)
	}
	id := st.Meta.SourceID(fmt.Append(nil, "machine ", n))
	m := &machine{db: db, socket: filepath.Join(dir, "s"), spool: filepath.Join(dir, "archive")}
	os.Mkdir(m.spool, 0o750)
	s := &control.Service{
		Pipeline: p, Store: db, Proc: processes, Refused: refused, Host: fmt.Sprint("node", n),
		Source: fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]),
	}
	l, err := api.Listen(m.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- p.Run(ctx) }()
	go func() { ended <- api.Serve(ctx, l, s, slog.New(slog.DiscardHandler)) }()
	m.client = client.New(m.socket)
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		db.Close()
	})
	return m
}

// bill puts cells in the database, as a commit of the service does.
func (m *machine) bill(t *testing.T, n int, hours ...uint32) {
	t.Helper()
	if err := m.db.Commit(func(tx *store.Tx) {
		for _, h := range hours {
			for i := range 5 {
				tx.AddCell(&history.Key{Hour: h, UID: uint32(i % 2), Groups: []uint32{uint32(1 + i%2)}, Command: fmt.Sprint("c", i)}, &usage.Usage{
					usage.Started: 1, usage.Ended: 1, usage.User: uint64(1234567891*n + i), usage.System: uint64(7*n + i), usage.Elapsed: 5e9, usage.MaxRSS: uint64(n << 20), usage.Exact: 1,
				})
			}
			tx.AddCell(&history.Key{Hour: h, Command: "cron"}, &usage.Usage{usage.Ended: 1, usage.User: uint64(n), usage.Exact: 1})
			tx.AddCell(&history.Key{Hour: h, Unattributed: true, Command: "sh"}, &usage.Usage{usage.Ended: 1, usage.User: uint64(n), usage.Exact: 1})
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// TestFleet: three hosts deliver to a directory and to a bucket; elsactl's report over
// them is the sum of their own reports, and what changes later is a correction.
func TestFleet(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root) // whom the service tells of all users
	bin := programs(t)
	backend := s3mem.New()
	if err := backend.CreateBucket("bills"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	defer server.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("TZ", "UTC")
	for _, to := range []string{t.TempDir(), "s3://bills/elsa?endpoint=" + server.URL + "&region=us-east-1"} {
		t.Run(to[:3], func(t *testing.T) { deliverAndReport(t, bin, to) })
	}
}

// TestEngine: so they do to tables, and rows of tables are what the files are.
func TestEngine(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root)
	bin := programs(t)
	t.Setenv("TZ", "UTC")
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("it's secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := chdb.Start(t, "elsa", "it's secret")
	t.Setenv("ELSA_CLICKHOUSE_PASSWORD_FILE", password)
	t.Run("cells", func(t *testing.T) { deliverAndReport(t, bin, server.Address("elsa", server.Database(t))) })
	t.Run("processes", func(t *testing.T) { engineProcesses(t, bin, server) })
}

// programs is where elsactl and elsa-archive are, built once.
func programs(t *testing.T) string {
	t.Helper()
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

var (
	binaries string
	built    = sync.OnceValues(func() (string, error) {
		var err error
		if binaries, err = os.MkdirTemp("", "elsa-programs"); err != nil {
			return "", err
		}
		out, err := exec.Command("go", "build", "-o", binaries, ".", "../elsactl").CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return binaries, err
	})
)

func TestMain(m *testing.M) {
	status := m.Run()
	if binaries != "" {
		os.RemoveAll(binaries)
	}
	os.Exit(status)
}

func deliverAndReport(t *testing.T, bin, to string) {
	var hosts []*machine
	now := usage.HourOf(time.Now().Unix())
	for n := range 3 {
		m := newMachine(t, n+1)
		for _, name := range []string{"ci", "web"} {
			if _, err := m.client.CreateGroup(t.Context(), client.CreateGroupRequest{Name: name}); err != nil {
				t.Fatal(err)
			}
		}
		m.bill(t, n+1, now-3, now-2, now)
		hosts = append(hosts, m)
	}
	ship := func(m *machine) string {
		t.Helper()
		status, out, text := runArchive(t, "ship", "--once", "--config", os.DevNull, "--archive-dir", m.spool, "--elsad-socket", m.socket, "--to", to)
		if status != 0 {
			t.Fatal(out, text)
		}
		return out
	}
	for _, m := range hosts {
		if out := ship(m); !strings.HasPrefix(out, "3 hours changed, 3 files sent, 0 of them again; 0 wait; 0 were dropped") {
			t.Error(out)
		}
	}
	hosts[1].bill(t, 9, now-2, now)
	if out := ship(hosts[1]); !strings.HasPrefix(out, "2 hours changed, 2 files sent") {
		t.Error(out)
	}
	if out := ship(hosts[0]); !strings.HasPrefix(out, "0 hours changed, 0 files sent") {
		t.Error(out)
	}
	for _, by := range []string{"group", "command", "hour"} {
		want := client.Report{}
		rows := map[string]client.Spent{}
		for _, m := range hosts {
			r, err := m.client.Report(t.Context(), client.ReportQuery{By: by})
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range r.Rows {
				sum := rows[row.Group+row.Command+row.Hour.String()]
				sum.Add(&row.Spent)
				rows[row.Group+row.Command+row.Hour.String()] = sum
			}
			want.Total.Add(&r.Total)
			want.Ungrouped.Add(&r.Ungrouped)
			want.Unattributed.Add(&r.Unattributed)
		}
		got := elsactl(t, bin, to, by)
		have := map[string]client.Spent{}
		for _, row := range got.Rows {
			have[row.Group+row.Command+row.Hour.String()] = row.Spent
		}
		nanoseconds := cmp.Comparer(func(a, b float64) bool { return uint64(a*1e9+0.5) == uint64(b*1e9+0.5) })
		if diff := cmp.Diff(rows, have, nanoseconds); diff != "" || len(rows) < 2 {
			t.Errorf("by %s: (-local +fleet):\n%s", by, diff)
		}
		if diff := cmp.Diff([]client.Spent{want.Total, want.Ungrouped, want.Unattributed}, []client.Spent{got.Total, got.Ungrouped, got.Unattributed}, nanoseconds); diff != "" {
			t.Errorf("by %s: (-local +fleet):\n%s", by, diff)
		}
		if got.Fleet.Complete != 3 || got.Fleet.Hosts != 3 {
			t.Errorf("%+v", got.Fleet)
		}
	}
	if got := elsactl(t, bin, to, "host"); len(got.Rows) != 3 || got.Rows[0].Host != "node2" {
		t.Errorf("%+v", got.Rows)
	}
}

// elsactl asks by the programs themselves, once as JSON and once for a person, and lets
// them read and compare every file.
func elsactl(t *testing.T, bin, from, by string) (r query.FleetReport) {
	t.Helper()
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(filepath.Join(bin, "elsactl"), append(args, "--from", from)...)
		var text bytes.Buffer
		cmd.Stderr = &text
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, text.String())
		}
		return string(out)
	}
	if err := json.Unmarshal([]byte(run("report", "--by", by, "--complete", "-o", "json")), &r); err != nil {
		t.Fatal(err)
	}
	if out := run("report", "--by", by, "--since", "2d"); !strings.Contains(out, "\n3 hosts; 3 complete to ") || !strings.HasSuffix(out, "; 0 conflicts\n") {
		t.Error(out)
	}
	if out := run("fleet", "verify"); strings.Count(out, "complete  ") != 3 {
		t.Error(out)
	}
	return r
}
