// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"elsa/internal/store"
	"elsa/pkg/groups"
)

// database makes one with a group.
func database(t *testing.T, path, group string) *store.Store {
	t.Helper()
	db, err := store.Open(path, time.Unix(1e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	st, err := db.Load()
	if err != nil {
		t.Fatal(err)
	}
	err = db.Commit(func(tx *store.Tx) {
		st.Meta.NextGroup = 2
		tx.PutGroup(groups.Group{ID: 1, Name: group})
		tx.Meta(st.Meta)
	})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestRestore(t *testing.T) {
	dir, state := t.TempDir(), filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	backup, current := filepath.Join(dir, "backup"), filepath.Join(state, "elsa.db")
	database(t, backup, "old").Close()
	restore := func(file string) (int, string, string) {
		var stdout, stderr strings.Builder
		status := run([]string{"restore", "--state-dir", state, file}, &stdout, &stderr)
		return status, stdout.String(), stderr.String()
	}
	name := func(path string) string {
		t.Helper()
		db, err := store.Open(path, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		st, err := db.Load()
		if err != nil {
			t.Fatal(err)
		}
		return st.Groups[0].Name
	}

	// In use: it says what to do, and changes nothing.
	db := database(t, current, "new")
	if status, _, stderr := restore(backup); status != 1 || !strings.Contains(stderr, "is in use; stop the service first: systemctl stop elsad") {
		t.Errorf("while it is in use: status %d, %q", status, stderr)
	}
	db.Close()

	// Damaged: it changes nothing.
	damaged := filepath.Join(dir, "damaged")
	b, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(damaged, b[:2*4096+100], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{damaged, filepath.Join(dir, "none"), "/dev/null"} {
		if status, _, stderr := restore(bad); status != 1 || !strings.HasPrefix(stderr, "elsactl: restore backup: ") {
			t.Errorf("%s: status %d, %q", bad, status, stderr)
		}
	}
	if got := name(current); got != "new" {
		t.Errorf("a backup that is none changed the database: group %s", got)
	}

	if status, stdout, stderr := restore(backup); status != 0 || !strings.Contains(stdout, "elsa.db: restored, 1 group\n") {
		t.Fatalf("status %d, %q, %q", status, stdout, stderr)
	}
	if got := name(current); got != "old" {
		t.Errorf("restored is group %s, want old", got)
	}
	if got := name(current + ".replaced"); got != "new" {
		t.Errorf("kept is group %s, want new", got)
	}
	if fi, err := os.Stat(current); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the database: %v, %v", fi, err)
	}
	files, err := os.ReadDir(state)
	if err != nil || len(files) != 2 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}
