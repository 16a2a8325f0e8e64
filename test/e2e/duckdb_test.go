// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"elsa/internal/archive"
	"elsa/internal/kerneltest"
	"elsa/pkg/client"
)

// duckdb asks DuckDB, in node, for the rows of the statement that is its argument.
const duckdb = `
const { DuckDBInstance } = require('@duckdb/node-api');
(async () => {
	const db = await (await DuckDBInstance.create(':memory:')).connect();
	const rows = await db.runAndReadAll(process.argv[1]);
	console.log(JSON.stringify(rows.getRowObjectsJson()));
})();`

// askDuckDB runs a statement. test/setup.sh puts DuckDB there.
func askDuckDB(sql string, rows any) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	cmd := exec.Command("node", "-e", duckdb, sql)
	cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(cache, "elsa", "duckdb", "node_modules"))
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return fmt.Errorf("ask DuckDB: %w: %.500s", err, exit.Stderr)
	}
	if err != nil {
		return fmt.Errorf("ask DuckDB: %w", err)
	}
	return json.Unmarshal(out, rows)
}

// DuckDB, a reader of others' making, finds in the sealed files what elsactl report has
// of the history: the same processes, and the same sums of all that they used.
func TestKernelDuckDB(t *testing.T) {
	needKernel(t)
	kerneltest.Need(t, kerneltest.Requirement{Name: "DuckDB (npm @duckdb/node-api, by test/setup.sh)", Probe: func() error {
		var one []struct{}
		return askDuckDB("SELECT 1", &one)
	}})
	kerneltest.Sources(t)
	faulty := filepath.Join(t.TempDir(), "elsad") // of which a test may set how long segments are
	if out, err := exec.Command("go", "build", "-tags", "fault", "-o", faulty, "elsa/cmd/elsad").CombinedOutput(); err != nil {
		t.Fatalf("build elsad: %v\n%s", err, out)
	}
	dir := t.TempDir()
	d := startAs(t, func(cmd *exec.Cmd) {
		cmd.Path, cmd.Env = faulty, append(os.Environ(), "ELSA_FAULT_SIZES=rows=20")
	}, "--journal", "on", "--archive-dir", dir, "--exact", "off") // no row waits for its exact record
	ctl := strings.Join(d.ctlCommand().Args, " ")
	d.ctl("run", "-g", "ci", "--quiet", "--", "sh", "-c", `
		for i in $(seq 30); do /bin/true; done
		dd if=/dev/zero of=`+filepath.Join(t.TempDir(), "file")+` bs=64k count=20 conv=fsync 2>/dev/null
		`+ctl+` run -g build -- sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; ls / >/dev/null; exit 3' 2>/dev/null
		sh -c 'kill -9 $$'; exit 0`)
	kerneltest.Eventually(t, "all rows of the groups in files", func() bool {
		exec.Command("sh", "-c", "for i in $(seq 25); do /bin/true; done").Run() // another segment
		d.ctl("usage", "--wait")
		if _, err := archive.Seal(dir); err != nil {
			t.Fatal(err)
		}
		files, err := archive.Files(dir)
		if err != nil || len(files) == 0 {
			return false
		}
		var found []struct{ N json.Number }
		if err := askDuckDB(rows(dir, "count(*) FILTER (part = 0) n", "ci", ""), &found); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(found[0].N) == fmt.Sprint(d.usage("ci").Usage.ProcessesEnded)
	})
	d.ctl("usage", "--wait")
	for _, group := range []string{"ci", "build"} {
		for _, by := range []string{"command", "user"} {
			want := map[string]client.Spent{}
			for _, r := range d.history("--group", group, "--by", by).Rows {
				key := r.Command
				if r.UID != nil {
					key = fmt.Sprint(*r.UID)
				}
				want[key] = r.Spent
			}
			got := byDuckDB(t, dir, group, by)
			if len(got) != len(want) || len(want) == 0 {
				t.Errorf("%s by %s: %d rows, want %d", group, by, len(got), len(want))
			}
			for key, w := range want {
				same(t, group+" by "+by+", "+key, got[key], w)
			}
		}
	}
}

// rows is a statement for the rows of a group in the files of an archive.
func rows(dir, what, group, rest string) string {
	return fmt.Sprintf("SELECT %s FROM read_parquet('%s/*/*.parquet') WHERE list_contains(groups, '%s') %s", what, dir, group, rest)
}

// byDuckDB are the sums of a group as DuckDB adds them up.
func byDuckDB(t *testing.T, dir, group, by string) map[string]client.Spent {
	t.Helper()
	column := map[string]string{"command": "command", "user": "uid"}[by]
	var raw []map[string]any
	sums := []string{"count(*) FILTER (part = 0) AS processes", "max(max_rss_bytes) AS max_rss_bytes",
		"count(*) FILTER (status & 127 = 0 AND status >> 8 > 0) AS exit_nonzero", "count(*) FILTER (status & 127 > 0) AS exit_signal"}
	for _, c := range []string{"minor_faults", "major_faults", "read_bytes", "write_bytes", "read_chars", "write_chars", "voluntary_switches", "involuntary_switches"} {
		sums = append(sums, fmt.Sprintf("sum(%s) AS %s", c, c))
	}
	for _, c := range []string{"cpu_user", "cpu_system", "cpu_delay", "elapsed"} {
		sums = append(sums, fmt.Sprintf("sum(%s_ns) / 1e9 AS %s_seconds", c, c))
	}
	for i, s := range sums { // as numbers, not as texts
		expr, name, _ := strings.Cut(s, " AS ")
		sums[i] = fmt.Sprintf("(%s)::DOUBLE AS %s", expr, name)
	}
	if err := askDuckDB(rows(dir, column+"::VARCHAR AS key, "+strings.Join(sums, ", "), group, "GROUP BY ALL"), &raw); err != nil {
		t.Fatal(err)
	}
	got := map[string]client.Spent{}
	for _, r := range raw {
		key := r["key"].(string)
		delete(r, "key")
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var s client.Spent
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		got[key] = s
	}
	return got
}

// same compares what two sources say of the same processes.
func same(t *testing.T, what string, got, want client.Spent) {
	t.Helper()
	for name, pair := range map[string][2]float64{
		"user": {got.CPUUserSeconds, want.CPUUserSeconds}, "system": {got.CPUSystemSeconds, want.CPUSystemSeconds},
		"delay": {got.CPUDelaySeconds, want.CPUDelaySeconds}, "elapsed": {got.ElapsedSeconds, want.ElapsedSeconds},
	} {
		if math.Abs(pair[0]-pair[1]) > 1e-8 {
			t.Errorf("%s: %s is %v, and %v in the report", what, name, pair[0], pair[1])
		}
	}
	for _, s := range []*client.Spent{&got, &want} { // compared, or not in the rows
		s.CPUUserSeconds, s.CPUSystemSeconds, s.CPUDelaySeconds, s.ElapsedSeconds, s.CPUSeconds = 0, 0, 0, 0, 0
		s.Exact, s.Sampled, s.Rounded, s.Inferred = 0, 0, 0, 0
	}
	if got != want {
		t.Errorf("%s:\nfiles  %+v\nreport %+v", what, got, want)
	}
}
