// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"elsa/pkg/acct"
)

// BenchmarkScan reads a file of a million records, and has GNU sa summarise the
// same, where it is installed.
func BenchmarkScan(b *testing.B) {
	const records = 1 << 20
	path := filepath.Join(b.TempDir(), "pacct")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var lines [][]byte
	for i, name := range []string{"sh", "cc1", "as", "ld", "make"} {
		lines = append(lines, acct.AppendBSD(nil, &acct.Record{
			PID: int32(3620 + i), PPID: 3600, UID: 1000, GID: 100, Begin: 1795438523, Elapsed: time.Duration(i) * 90 * time.Millisecond,
			User: time.Duration(i) * 50 * time.Millisecond, System: 10 * time.Millisecond, MinorFaults: 480, Comm: comm(name),
		}))
	}
	w := bufio.NewWriter(f)
	for i := range records {
		w.Write(lines[i%len(lines)])
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	rate := func(b *testing.B) {
		b.ReportMetric(float64(records)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrecords/s")
	}
	b.Run("elsa", func(b *testing.B) {
		b.ReportAllocs()
		var s scanner
		for b.Loop() {
			n := 0
			var cpu time.Duration
			var sk Skipped
			if _, err := s.read(f, mark{}, records*acct.BSDSize, &sk, func(recs []acct.Record) error {
				for i := range recs {
					cpu += recs[i].CPU
				}
				n += len(recs)
				return nil
			}); err != nil || n != records || cpu == 0 {
				b.Fatalf("%d records, %v, %v", n, cpu, err)
			}
		}
		rate(b)
	})
	b.Run("backward", func(b *testing.B) {
		var s scanner
		for b.Loop() {
			n := 0
			if err := s.readBackward(f, 0, records*acct.BSDSize, func(recs []acct.Record) error {
				n += len(recs)
				return nil
			}); err != nil || n != records {
				b.Fatalf("%d records, %v", n, err)
			}
		}
		rate(b)
	})
	b.Run("sa", func(b *testing.B) {
		sa, err := exec.LookPath("sa")
		if err != nil {
			b.Log("GNU sa is not installed")
			return
		}
		for b.Loop() {
			if out, err := exec.Command(sa, path).CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
		}
		rate(b)
	})
}
