// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"elsa/internal/journal"
	"elsa/pkg/acct"
	"elsa/pkg/usage"
	"elsa/test/machine"
)

// archived is how many rows the archive has, and asJSON of how many JSON is made, which
// are many bytes.
const archived, asJSON = 10_000_000, 1_000_000

// archiveBegin is when the first of them ended; rate is how many end in a second.
var archiveBegin = time.Date(2026, 11, 28, 6, 0, 0, 0, time.UTC)

const rate = 1000

// archive measures how fast rows of the journal are sealed, how many bytes they take, and how fast they are read.
func (b *bench) archive() error {
	dir, lines := filepath.Join(b.dir, "archive"), filepath.Join(b.dir, "lines")
	began := time.Now()
	if err := writeRows(dir, lines, archived); err != nil {
		return err
	}
	encoded := archived / time.Since(began).Seconds() / 1e6
	if err := b.sealed(dir, encoded); err != nil {
		return err
	}
	if err := b.bytesOfRow(dir, lines); err != nil {
		return err
	}
	return b.asked(dir, lines)
}

// journaled compares the CPU of elsad for a pair with the journal and without, in turns.
func (b *bench) journaled() error {
	var with, without, more []float64
	for range 3 * b.rounds {
		dir, err := os.MkdirTemp(b.dir, "rows")
		if err != nil {
			return err
		}
		var own [2]float64
		for i, args := range [][]string{{"--journal", "off"}, {"--journal", "on", "--archive-dir", dir}} {
			if own[i], _, err = b.pair(func() (*program, error) { return b.elsad(append(args, "--source", "bpf", "--taskstats", "off")...) }, nil); err != nil {
				return err
			}
		}
		without, with, more = append(without, own[0]), append(with, own[1]), append(more, own[1]-own[0])
	}
	b.rows = append(b.rows, row{
		what: "CPU of elsad for a fork+exit pair, with the journal", ours: micro(with), peer: "without: " + micro(without),
		ratio: "+" + micro(more), limit: "≤ +0.5 µs", ok: median(more) <= 0.5,
	})
	return nil
}

// writeRows makes the journal of an archive of n rows, all settled, and an accounting file
// of as many lines, of the same processes.
func writeRows(dir, lines string, n int) error {
	from := filepath.Join(dir, journal.Subdir)
	if err := os.MkdirAll(from, 0o700); err != nil {
		return err
	}
	j, err := journal.Open(journal.Options{Dir: from, Host: "bench", MaxAge: 24 * time.Hour, MaxBytes: 1 << 40}, journal.Position{}, 1, archiveBegin)
	if err != nil {
		return err
	}
	defer j.Close()
	f, err := os.Create(lines)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	m := machine.New(archiveBegin, rate, []*journal.Groups{{Names: []string{"ci"}}, {Names: []string{"build/17", "ci"}}, {}, {Names: []string{"web"}}})
	var line []byte
	var r journal.Row
	flush := func() {
		j.Settled(r.Seq)
		j.Flush(archiveBegin)
		j.Committed()
	}
	for i := range n + 1 { // the last is of a segment that is not full
		m.Next(&r)
		if i == n {
			flush()
		}
		j.Row(&r)
		if i%5000 == 4999 {
			flush()
		}
		line = acct.AppendBSD(line[:0], lineOf(&r))
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	flush()
	return errors.Join(j.Err(), w.Flush())
}

// lineOf is what the kernel's line of a row's process has.
func lineOf(r *journal.Row) *acct.Record {
	ns := func(f usage.Field) time.Duration { return time.Duration(r.Measure[f]) }
	return &acct.Record{
		Source: acct.BSD, PID: r.PID % 4_194_304, PPID: r.PPID % 4_194_304, UID: r.UID, GID: r.GID, Begin: r.Start / 1e9, Comm: r.Comm, ExitCode: r.Status,
		User: ns(usage.User), System: ns(usage.System), Elapsed: ns(usage.Elapsed), MinorFaults: r.Measure[usage.MinorFaults],
	}
}

// cost is what a program used.
type cost struct {
	wall, cpu time.Duration
	kib       int64 // most memory
}

// ran runs a program to its end.
func (b *bench) ran(name string, args ...string) (out []byte, c cost, err error) {
	cmd := exec.CommandContext(b.ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	began := time.Now()
	if out, err = cmd.Output(); err != nil {
		return nil, c, fmt.Errorf("%s %.60q: %w: %.300s", filepath.Base(name), args, err, &stderr)
	}
	c.wall = time.Since(began)
	c.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	c.kib = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss // of it and of its children, in KiB on Linux
	return out, c, nil
}

// sealed measures elsa-archive seal.
func (b *bench) sealed(dir string, encoded float64) error {
	var rates []float64
	most := int64(0)
	for range b.rounds {
		if err := os.RemoveAll(filepath.Join(dir, journal.SealedName)); err != nil {
			return err
		}
		out, c, err := b.ran(filepath.Join(b.bin, "elsa-archive"), "seal", "--archive-dir", dir)
		if err != nil {
			return err
		}
		var segments, files, n int
		if _, err := fmt.Sscanf(string(out), "%d segments sealed, %d files, %d rows", &segments, &files, &n); err != nil || n < archived*99/100 {
			return fmt.Errorf("seal: %s", out)
		}
		rates, most = append(rates, float64(n)/c.cpu.Seconds()/1e6), max(most, c.kib)
	}
	b.rows = append(b.rows, row{
		what: "seal 10,000,000 rows of the journal, on one core", ours: fmt.Sprintf("%s, %.1f MiB", million(rates), float64(most)/1024),
		peer: fmt.Sprintf("making them up and writing them to the journal: %.1f M/s", encoded), limit: "≥ 1.0", ok: median(rates) >= 1,
	})
	return nil
}

// bytesOfRow compares how many bytes a row takes.
func (b *bench) bytesOfRow(dir, lines string) error {
	size := func(pattern string) float64 {
		sum := int64(0)
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			if st, err := os.Stat(path); err == nil {
				sum += st.Size()
			}
		}
		return float64(sum) / archived
	}
	squeezed := func(shell string, n float64) (float64, error) {
		out, _, err := b.ran("sh", "-c", shell)
		if err != nil {
			return 0, err
		}
		size, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
		return size / n, err
	}
	ledger, err := squeezed("zstd -q -c '"+lines+"' | wc -c", archived)
	if err != nil {
		return err
	}
	until := archiveBegin.Add(asJSON / rate * time.Second).Format(time.RFC3339)
	text, err := squeezed(fmt.Sprintf("'%s' processes --archive-dir '%s' --until %s -o json | zstd -q -c | wc -c", filepath.Join(b.bin, "elsactl"), dir, until), asJSON)
	if err != nil {
		return err
	}
	b.rows = append(b.rows, row{
		what: "bytes a row", ours: fmt.Sprintf("%.1f sealed, %.1f in the journal", size(filepath.Join(dir, "day=*", "*")), size(filepath.Join(dir, journal.Subdir, "*"))),
		peer: fmt.Sprintf("zstd of the accounting file, which has a third of the columns: %.1f; of JSON: %.1f", ledger, text),
	})
	return nil
}

// duckdb answers a statement in node, and says how long that took, once DuckDB runs.
const duckdb = `
const { DuckDBInstance } = require('@duckdb/node-api');
(async () => {
	const db = await (await DuckDBInstance.create(':memory:')).connect();
	await db.run('SET threads = ' + process.argv[2]);
	const began = performance.now();
	const rows = (await db.runAndReadAll(process.argv[1])).getRows();
	console.log(JSON.stringify({ rows: rows.length, seconds: (performance.now() - began) / 1000 }));
})();`

// asked measures questions about all rows, beside sa and DuckDB.
func (b *bench) asked(dir, lines string) error {
	ask := func(args ...string) (c cost, err error) {
		_, c, err = b.ran(filepath.Join(b.bin, "elsactl"), append([]string{"processes", "--archive-dir", dir}, args...)...)
		return c, err
	}
	sa := "/usr/sbin/sa"
	if path, err := exec.LookPath("sa"); err == nil {
		sa = path
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	os.Setenv("NODE_PATH", filepath.Join(cache, "elsa", "duckdb", "node_modules"))
	statement := fmt.Sprintf(`SELECT command, count(*) FILTER (part = 0), sum(cpu_user_ns), sum(cpu_system_ns), sum(elapsed_ns), max(max_rss_bytes)
		FROM read_parquet('%s/*/*.parquet') GROUP BY ALL`, dir)
	var ours, theirs, duck, filtered []float64
	var most, duckMost int64
	for range b.rounds {
		c, err := ask("--by", "command")
		if err != nil {
			return err
		}
		ours, most = append(ours, archived/c.wall.Seconds()/1e6), max(most, c.kib)
		if c, err = ask("--group", "ci", "--by", "command,user"); err != nil {
			return err
		}
		filtered, most = append(filtered, archived/c.cpu.Seconds()/1e6), max(most, c.kib)
		if _, c, err := b.ran(sa, "-i", lines); err == nil {
			theirs = append(theirs, archived/c.wall.Seconds()/1e6)
		}
		if out, c, err := b.ran("node", "-e", duckdb, statement, "1"); err == nil {
			var said struct{ Seconds float64 }
			if err := json.Unmarshal(out, &said); err != nil {
				return err
			}
			duck, duckMost = append(duck, archived/said.Seconds/1e6), max(duckMost, c.kib)
		}
	}
	r := row{what: "elsactl processes --by command, of 10,000,000 rows", ours: fmt.Sprintf("%s, %.1f MiB", million(ours), float64(most)/1024), peer: "sa, DuckDB: not installed"}
	var peers []string
	if len(theirs) > 0 {
		peers, r.ratio = append(peers, "sa: "+million(theirs)), fmt.Sprintf("%.2f", median(ours)/median(theirs))
	}
	if len(duck) > 0 {
		peers = append(peers, fmt.Sprintf("DuckDB, one thread, without its start: %s, %.0f MiB", million(duck), float64(duckMost)/1024))
	}
	r.peer = cmp.Or(strings.Join(peers, "; "), r.peer)
	b.rows = append(b.rows, r, row{
		what: "the same --group ci --by command,user, on one core", ours: million(filtered), peer: fmt.Sprintf("most memory of both: %.1f MiB", float64(most)/1024),
		limit: "≥ 5.0, ≤ 32 MiB", ok: median(filtered) >= 5 && most <= 32<<10,
	})
	return nil
}
