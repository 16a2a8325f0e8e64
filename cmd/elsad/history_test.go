// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"testing"
	"time"

	"elsa/pkg/groups"
	"elsa/pkg/history"
	"elsa/pkg/store"
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
	p := past{rolls: history.New(groups.NewSets(), 1e6), retention: 10 * time.Hour}
	for i := range uint32(2 * dropBatch) {
		p.rolls.Roll(&usage.Cell{Hour: now - 20, UID: i}).Ended++
	}
	p.rolls.Roll(&usage.Cell{Hour: now - 9}).Ended++
	count := func() (n int) {
		db.History(0, 1<<32-1, func(*history.Key, *usage.Usage) error { n++; return nil })
		return n
	}
	commit := func() {
		t.Helper()
		if err := db.Commit(p.write); err != nil {
			t.Fatal(err)
		}
		p.done()
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
