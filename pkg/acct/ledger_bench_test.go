// SPDX-License-Identifier: Apache-2.0

package acct

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
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
	for _, name := range []string{"exit 7", "SIGKILL", "burn 250ms", "setuid", "fork"} {
		lines = append(lines, unhex(b, recorded(b)[name]))
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
			if _, err := s.read(f, mark{}, records*BSDSize, &sk, func(recs []Record) error {
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
			if err := s.readBackward(f, 0, records*BSDSize, func(recs []Record) error {
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
