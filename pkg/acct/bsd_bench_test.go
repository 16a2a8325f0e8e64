// SPDX-License-Identifier: Apache-2.0

package acct

import "testing"

func BenchmarkDecodeBSD(b *testing.B) {
	line := unhex(b, recorded(b)["exit 7"])
	file := make([]byte, 0, 1024*BSDSize)
	for range 1024 {
		file = append(file, line...)
	}
	recs := make([]Record, 1024)
	b.SetBytes(BSDSize)
	b.ReportAllocs()
	for i := 0; b.Loop(); i = (i + 1) & 1023 {
		if err := DecodeBSD(file[i*BSDSize:], &recs[i]); err != nil {
			b.Fatal(err)
		}
	}
}
