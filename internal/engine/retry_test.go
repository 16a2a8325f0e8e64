// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"elsa/internal/history"
	"elsa/internal/store"
	"elsa/pkg/clock"
	"elsa/pkg/cnfork"
	"elsa/pkg/usage"
)

// While transactions fail, all is put again each time. That takes ten times as long
// with ten times the groups, not a hundred times.
func TestRetryIsLinear(t *testing.T) {
	retry := func(n int) time.Duration {
		now := at(time.Hour)
		e, db := newEngine(t, newMachine(), now), openStore(t)
		for i := range n {
			g, err := e.MakeGroup(fmt.Sprintf("g%06d", i*7919%n), 0, nil, now)
			if err != nil {
				t.Fatal(err)
			}
			pid := int32(i + 10)
			e.Events([]cnfork.Event{{Kind: cnfork.Fork, PID: pid, TGID: pid, ParentPID: 1, ParentTGID: 1, Time: clock.Mono(now.Boot)}}, 0, 0, now)
			life, _ := e.tracker.Live(pid)
			e.Add(life, g, false, false, 0, now)
		}
		least := time.Hour
		for range 5 {
			began := time.Now()
			if err := e.Prepare(now); err != nil {
				t.Fatal(err)
			}
			var meta store.Meta
			err := db.Commit(func(tx *store.Tx) {
				e.Save(tx, &meta)
				tx.PutCell(&history.Key{Command: strings.Repeat("x", 1<<16)}, &usage.Usage{}) // more than bbolt takes
			})
			if e.Saved(err); err == nil {
				t.Fatal("the transaction did not fail")
			}
			least = min(least, time.Since(began))
		}
		save(t, db, e, now)
		st, err := db.Load()
		if err != nil || len(st.Groups) != n || len(st.Sets) < n || len(st.Members) != n {
			t.Fatalf("stored are %d groups, %d sets, %d members, %v; want %d", len(st.Groups), len(st.Sets), len(st.Members), err, n)
		}
		return least
	}
	few, many := retry(1000), retry(10000)
	if t.Logf("%v, then %v", few, many); many > 40*few {
		t.Errorf("a retry takes %v with 1,000 groups, and %.0f times that with 10,000", few, float64(many)/float64(few))
	}
}
