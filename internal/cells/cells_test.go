// SPDX-License-Identifier: Apache-2.0

package cells

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/client"
	"elsa/pkg/usage"
)

func sample() (*client.Cells, *Names) {
	columns := []string{"a_later_one"}
	for _, f := range usage.Stored {
		columns = append(columns, f.Info().Column())
	}
	figures := func(seed uint64) (list []uint64) {
		for i := range columns {
			list = append(list, seed*1000+uint64(i))
		}
		return list
	}
	hour := time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)
	return &client.Cells{Source: "s", Host: "node1", Columns: columns, Hours: []client.CellsHour{{Hour: hour, Cells: []client.Cell{
		{Groups: []uint32{7, 3}, UID: 1000, Command: "make", Figures: figures(1)},
		{Groups: []uint32{3}, UID: 1000, Command: "make", Figures: figures(2)}, // 7 has no name: alike
		{Groups: []uint32{4, 3}, UID: 1000, Command: "make", Figures: figures(3)},
		{UID: 0, Command: "cron", Figures: figures(4)},
		{Unattributed: true, UID: 4294967295, Command: "cron", Figures: figures(5)},
	}}}}, &Names{Groups: map[string]string{"3": "b", "4": "a"}, Users: map[string]string{"1000": "anna"}}
}

// TestBlock: cells get names, those that are alike are one, and a file gives back what
// went in, every figure of it.
func TestBlock(t *testing.T) {
	answer, names := sample()
	b := Named(answer, &answer.Hours[0], names)
	b.Version, b.Writer = 9, "abcdefgh"
	var sum usage.Usage
	for i, f := range usage.Stored {
		if members[i] < 0 {
			t.Errorf("no column %s", f.Info().Column())
		}
		sum[f] = 3000 + 2*uint64(i+1)
	}
	sum[usage.MaxRSS] = 2000 + uint64(12)
	if len(b.Cells) != 4 || b.Hour != usage.HourOf(answer.Hours[0].Hour.Unix()) {
		t.Fatalf("%+v", b)
	}
	if got := b.Cells[3]; got.User != "anna" || len(got.Groups) != 1 || got.Groups[0] != "b" || got.Usage != sum {
		t.Errorf("%+v, want the sum %v", got, sum)
	}
	file, err := Encode(b)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Encode(b)
	if err != nil || !bytes.Equal(file, again) {
		t.Errorf("the same block makes other bytes: %v", err)
	}
	back, err := Decode(file)
	if diff := cmp.Diff(b, back); err != nil || diff != "" || back.Digest() != b.Digest() {
		t.Errorf("(-in +out):\n%s%v", diff, err)
	}
	cpu := uint64(0)
	for i := range b.Cells {
		cpu += b.Cells[i].Usage[usage.User] + b.Cells[i].Usage[usage.System]
	}
	if b.CPU() != cpu || cpu == 0 {
		t.Errorf("CPU %d, want %d", b.CPU(), cpu)
	}
	for i := 0; i < len(file); i += 3 {
		if _, err := Decode(file[:i]); err == nil {
			t.Fatalf("the first %d bytes are a file", i)
		}
	}
}

// TestDigest: it tells blocks apart by what they say, not by their version or writer.
func TestDigest(t *testing.T) {
	answer, names := sample()
	a, b := Named(answer, &answer.Hours[0], names), Named(answer, &answer.Hours[0], names)
	b.Version, b.Writer = 5, "abcdefgh"
	if a.Digest() != b.Digest() {
		t.Error("a version or a writer changes the digest")
	}
	b.Cells[0].Usage[usage.CPUDelay]++
	if a.Digest() == b.Digest() {
		t.Error("a nanosecond does not change the digest")
	}
}
