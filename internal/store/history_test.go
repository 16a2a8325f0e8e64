// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/internal/history"
	"elsa/pkg/usage"
)

func openTemp(t testing.TB) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "db"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestHistory(t *testing.T) {
	s := openTemp(t)
	cells := []history.Key{
		{Hour: 5, UID: 3, Command: ""},
		{Hour: 6, UID: 1, Groups: []uint32{1, 70000}, Command: "sh"},
		{Hour: 6, UID: 1, Groups: []uint32{1, 70000}, Command: "sh\xff x"},
		{Hour: 6, UID: 1, Unattributed: true, Command: "sh"},
		{Hour: 7, UID: 1<<32 - 1, Command: "(unknown)"},
	}
	put := func(tx *Tx) {
		for i := range cells {
			tx.AddCell(&cells[i], &usage.Usage{usage.Ended: uint64(i) + 1, usage.User: uint64(time.Second)})
		}
	}
	if err := s.Commit(put); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(put); err != nil { // adds to what is there
		t.Fatal(err)
	}
	read := func(first, last uint32) (got []string) {
		t.Helper()
		if err := s.History(first, last, func(k *history.Key, u *usage.Usage) error {
			got = append(got, fmt.Sprintf("%+v %d %v", *k, u[usage.Ended], time.Duration(u[usage.User])))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return got
	}
	var want []string
	for i, k := range cells {
		want = append(want, fmt.Sprintf("%+v %d 2s", k, 2*i+2))
	}
	if diff := cmp.Diff(want, read(0, 1<<32-1)); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[1:4], read(6, 7)); diff != "" {
		t.Errorf("hour 6 (-want +got):\n%s", diff)
	}
	for from, want := range map[uint32]uint32{0: 5, 6: 6, 7: 7, 8: 0} {
		var tx Tx
		tx.FindHour(from)
		if err := s.Write(&tx); err != nil {
			t.Fatal(err)
		}
		if hour, ok := tx.Hour(); hour != want || ok != (want > 0) {
			t.Errorf("the next hour from %d is %d, %v", from, hour, ok)
		}
	}
	stop := errors.New("stop")
	if err := s.History(0, 9, func(*history.Key, *usage.Usage) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error of f: %v", err)
	}
	for _, n := range []int{2, 2, 0} { // 5 of which 4 are before hour 7
		var tx Tx
		tx.DropHistory(7, 2)
		if err := s.Write(&tx); err != nil || tx.Dropped() != n {
			t.Errorf("dropped %d, want %d: %v", tx.Dropped(), n, err)
		}
	}
	if diff := cmp.Diff(want[4:], read(0, 1<<32-1)); diff != "" {
		t.Errorf("after the drop (-want +got):\n%s", diff)
	}
}

// What a day of history costs: reported as bytes a day, for 100 commands of
// three users in four groups in every hour, and for a machine with five.
func BenchmarkHistoryDay(b *testing.B) {
	for _, commands := range []int{5, 100} {
		b.Run(fmt.Sprint(commands, "-commands"), func(b *testing.B) {
			for range b.N {
				s := openTemp(b)
				before := s.Size()
				for hour := range uint32(24 * 7) {
					if err := s.Commit(func(tx *Tx) {
						for c := range commands {
							k := history.Key{Hour: 490000 + hour, UID: uint32(c % 3), Groups: []uint32{uint32(c % 4)}, Command: fmt.Sprint("command", c)}
							tx.AddCell(&k, &usage.Usage{
								usage.Ended: uint64(c), usage.User: 123456789, usage.System: 2345678, usage.Elapsed: 1e10, usage.MinorFaults: 12345, usage.MajorFaults: 3,
								usage.ReadBytes: 1 << 20, usage.WriteBytes: 1 << 16, usage.ReadChars: 1 << 22, usage.WriteChars: 1 << 20, usage.MaxRSS: 1 << 24,
								usage.VoluntarySwitches: 500, usage.InvoluntarySwitches: 100, usage.Exact: uint64(c),
							})
						}
					}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(s.Size()-before)/7, "bytes/day")
			}
		})
	}
}
