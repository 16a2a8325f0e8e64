// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/internal/history"
	"elsa/internal/store"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// What is older than the retention goes with the next commits, some at a time.
func TestHistoryRetention(t *testing.T) {
	db, err := store.Open(filepath.Join(t.TempDir(), "db"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	now := usage.HourOf(time.Now().Unix())
	p := past{rolls: history.New(groups.NewSets(), 1e6), retention: 10 * 24 * time.Hour, hours: 100 * 24 * time.Hour}
	for i := range uint32(2 * dropBatch) {
		p.rolls.Roll(&usage.Cell{Hour: now - 24*12, UID: i})[usage.Ended]++
	}
	p.rolls.Roll(&usage.Cell{Hour: now - 24*9})[usage.Ended]++
	count := func() (n int) {
		db.History(0, 1<<32-1, func(*history.Key, *usage.Usage) error { n++; return nil })
		return n
	}
	commit := func() {
		t.Helper()
		if err := db.Commit(func(tx *store.Tx) { p.save(tx, time.Now()) }); err != nil {
			t.Fatal(err)
		}
		p.saved()
	}
	commit()
	if n := count(); n != dropBatch+1 {
		t.Errorf("%d cells after one commit, want %d", n, dropBatch+1)
	}
	commit()
	commit()
	if n := count(); n != 1 {
		t.Errorf("%d cells in the end, want 1", n)
	}
}

// However hours are added up to days meanwhile, also over failed transactions,
// restarts, deaths that come days late and corrections, every sum by day is that
// of what was put in. In the end only the latest days have hours.
func TestModelHistoryAddsUp(t *testing.T) {
	for seed := range uint64(4) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		db, err := store.Open(filepath.Join(t.TempDir(), "db"), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		sets := groups.NewSets()
		ids := []groups.SetID{groups.Ungrouped, groups.Unattributed, sets.Only(1), sets.With(sets.Only(1), 2)}
		fresh := func() past {
			return past{rolls: history.New(sets, 1e6), retention: 90 * 24 * time.Hour, hours: 3 * 24 * time.Hour}
		}
		p, saved := fresh(), uint32(0)
		want, unsaved := map[string]usage.Usage{}, map[string]usage.Usage{}
		add := func(to map[string]usage.Usage, k *history.Key, u *usage.Usage) {
			key := *k
			key.Hour = history.Day(key.Hour)
			sum := to[fmt.Sprintf("%+v", key)]
			sum.Add(u)
			to[fmt.Sprintf("%+v", key)] = sum
		}
		now := time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)
		commit := func(fail bool) {
			t.Helper()
			err := db.Commit(func(tx *store.Tx) {
				p.save(tx, now)
				if fail {
					tx.AddCell(&history.Key{Command: strings.Repeat("x", 1<<16)}, &usage.Usage{}) // more than bbolt takes
				}
			})
			if fail != (err != nil) {
				t.Fatalf("commit, to fail %v: %v", fail, err)
			}
			put := p.daily
			p.saved()
			if fail {
				return
			}
			saved = put
			for k, u := range unsaved {
				sum := want[k]
				sum.Add(&u)
				want[k] = sum
			}
			clear(unsaved)
			got := map[string]usage.Usage{}
			if err := db.History(0, 1<<32-1, func(k *history.Key, u *usage.Usage) error { add(got, k, u); return nil }); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("seed %d, %v: sums by day (-put in +stored):\n%s", seed, now, diff)
			}
		}
		for range 300 {
			now = now.Add(time.Duration(rnd.IntN(30)) * time.Minute)
			for range rnd.IntN(20) {
				at := now
				c := usage.Cell{UID: uint32(rnd.IntN(2)), Set: ids[rnd.IntN(len(ids))]}
				c.Comm[0] = byte('a' + rnd.IntN(3))
				switch rnd.IntN(8) {
				case 0:
					at = now.Add(-time.Duration(rnd.IntN(8*24)) * time.Hour)
				case 1: // an hour of the day that is added up next, or was last
					at, c = time.Unix(3600*int64(history.Day(usage.HourOf(now.Add(-p.hours).Unix()))-12), 0), usage.Cell{}
				}
				c.Hour = usage.HourOf(at.Unix())
				u := usage.Usage{usage.Ended: 1, usage.User: uint64(rnd.IntN(1000)), usage.MaxRSS: uint64(rnd.IntN(1000))}
				p.rolls.Roll(&c).Add(&u)
				k := history.Key{Hour: c.Hour, UID: c.UID, Groups: slices.Clone(sets.Groups(c.Set)), Unattributed: c.Set == groups.Unattributed, Command: strings.TrimRight(string(c.Comm[:]), "\x00")}
				add(unsaved, &k, &u)
			}
			switch rnd.IntN(6) {
			case 0:
				commit(true)
			case 1: // killed: what is not saved comes again, by the ledger
				if rnd.IntN(3) == 0 {
					p = fresh()
					p.daily = saved
					clear(unsaved)
				}
			default:
				commit(false)
			}
		}
		for range 50 {
			commit(false)
		}
		due := history.Day(usage.HourOf(now.Add(-p.hours).Unix()))
		if p.daily != due || p.whole != due {
			t.Errorf("seed %d: added up to hour %d and %d, want %d", seed, p.daily, p.whole, due)
		}
		db.Close()
	}
}

// A day of many cells is added up in some transactions, none of them long.
func TestHistoryAddsUpInSteps(t *testing.T) {
	db, err := store.Open(filepath.Join(t.TempDir(), "db"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	now := time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)
	p := past{rolls: history.New(groups.NewSets(), 1e6), retention: 90 * 24 * time.Hour, hours: 24 * time.Hour}
	count := func() (hours, days int) {
		db.History(0, 1<<32-1, func(k *history.Key, _ *usage.Usage) error {
			if k.Hour == history.Day(k.Hour) {
				days++
			} else {
				hours++
			}
			return nil
		})
		return hours, days
	}
	commit := func() {
		t.Helper()
		if err := db.Commit(func(tx *store.Tx) { p.save(tx, now) }); err != nil {
			t.Fatal(err)
		}
		p.saved()
	}
	commit()
	for i := range uint32(2*addBatch + addBatch/2) {
		p.rolls.Roll(&usage.Cell{Hour: usage.HourOf(now.Unix()) + 1 + i%2, UID: i})[usage.Ended]++
	}
	commit()
	now = now.Add(10 * 24 * time.Hour)
	for i, want := range []int{5 * addBatch / 2, 3 * addBatch / 2, addBatch / 2, 0, 0} {
		commit()
		if hours, days := count(); hours != want || hours+days != 5*addBatch/2 {
			t.Errorf("after commit %d: %d cells of hours and %d of days, want %d and together %d", i+1, hours, days, want, 5*addBatch/2)
		}
	}
}
