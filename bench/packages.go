// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"elsa/pkg/acct"
)

// ledger compares decoding and adding up an accounting file with GNU sa on the
// same file, each from beginning to end.
func (b *bench) ledger() error {
	const records = 2000000
	file := filepath.Join(b.dir, "pacct")
	if err := writeLedger(file, records); err != nil {
		return err
	}
	var ours, theirs []float64
	sa, err := exec.LookPath("sa")
	if err != nil {
		sa = "/usr/sbin/sa"
	}
	_, missing := os.Stat(sa)
	for range b.rounds {
		began := time.Now()
		if err := addUp(file); err != nil {
			return err
		}
		ours = append(ours, records/time.Since(began).Seconds()/1e6)
		if missing != nil {
			continue
		}
		began = time.Now()
		if out, err := exec.CommandContext(b.ctx, sa, "-i", file).CombinedOutput(); err != nil {
			return fmt.Errorf("sa: %w: %s", err, out)
		}
		theirs = append(theirs, records/time.Since(began).Seconds()/1e6)
	}
	r := row{what: "decode 2,000,000 ledger lines and add up by command", ours: million(ours), peer: "sa: not installed", limit: "≥ 1.5"}
	if len(theirs) > 0 {
		ratio := median(ours) / median(theirs)
		r.peer, r.ratio, r.ok = "GNU sa: "+million(theirs), fmt.Sprintf("%.2f", ratio), ratio >= 1.5
	}
	b.rows = append(b.rows, r)
	return nil
}

func million(v []float64) string { return fmt.Sprintf("%.1f ± %.1f M/s", median(v), spread(v)) }

// writeLedger makes a file of lines as a busy machine has them.
func writeLedger(file string, n int) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	commands := []string{"true", "ls", "sh", "cc1", "as", "ld", "make", "sed", "awk", "git", "python3", "find", "grep", "cat", "bash", "install"}
	var line []byte
	for i := range n {
		r := acct.Record{
			Source: acct.BSD, PID: int32(i%32768 + 1), PPID: 1, UID: uint32(i % 7), Begin: 1750000000 + int64(i/1000),
			User: time.Duration(i%50) * 10 * time.Millisecond, System: time.Duration(i%9) * 10 * time.Millisecond,
			Elapsed: time.Duration(i%500) * 10 * time.Millisecond, MinorFaults: uint64(i % 3000),
		}
		copy(r.Comm[:], commands[i%len(commands)])
		line = acct.AppendBSD(line[:0], &r)
		if _, err := w.Write(line); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(w.Flush(), f.Close())
}

// addUp is what sa does: sums by command.
func addUp(file string) error {
	type sums struct {
		n            int
		cpu, elapsed time.Duration
		faults       uint64
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	total := map[[16]byte]*sums{}
	buf := make([]byte, 1<<18)
	var r acct.Record
	for {
		n, err := io.ReadFull(f, buf)
		for b := buf[:n]; len(b) >= acct.BSDSize; b = b[acct.BSDSize:] {
			if err := acct.DecodeBSD(b[:acct.BSDSize], &r); err != nil {
				return err
			}
			s := total[r.Comm]
			if s == nil {
				s = &sums{}
				total[r.Comm] = s
			}
			s.n++
			s.cpu += r.CPU
			s.elapsed += r.Elapsed
			s.faults += r.MinorFaults
		}
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			return err
		}
	}
	if len(total) != 16 {
		return fmt.Errorf("add up %s: %d commands, want 16", file, len(total))
	}
	return nil
}

// result is what a Go benchmark printed: values by unit.
type result map[string]float64

var benchLine = regexp.MustCompile(`^(Benchmark\S+?)(?:-\d+)?\s+\d+\s+(.*)$`)

// goBench runs benchmarks of a package and returns the medians over the rounds.
func (b *bench) goBench(pkg, pattern, times string) (map[string]result, error) {
	cmd := exec.CommandContext(b.ctx, "go", "test", "-run", "^$", "-bench", pattern, "-benchtime", times, "-benchmem",
		"-count", strconv.Itoa(b.rounds), pkg)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go test -bench %s %s: %w: %s%s", pattern, pkg, err, out.String(), errs.String())
	}
	all := map[string]map[string][]float64{}
	for line := range strings.Lines(out.String()) {
		m := benchLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		f := strings.Fields(m[2])
		for i := 0; i+1 < len(f); i += 2 {
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				return nil, fmt.Errorf("read benchmark %q: %w", line, err)
			}
			if all[m[1]] == nil {
				all[m[1]] = map[string][]float64{}
			}
			all[m[1]][f[i+1]] = append(all[m[1]][f[i+1]], v)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("go test -bench %s %s: no benchmark", pattern, pkg)
	}
	medians := map[string]result{}
	for name, units := range all {
		medians[name] = result{}
		for unit, v := range units {
			medians[name][unit] = median(v)
		}
	}
	return medians, nil
}
