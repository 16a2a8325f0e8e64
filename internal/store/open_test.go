// SPDX-License-Identifier: Apache-2.0

package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"elsa/internal/kerneltest"
)

// TestOpenOwnOnly: a database that others could have written is refused, and left
// as it is.
func TestOpenOwnOnly(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(path string) error
		say   string
	}{
		"written by all":   {func(p string) error { return os.Chmod(p, 0o606) }, "chmod go-w"},
		"written by group": {func(p string) error { return os.Chmod(p, 0o660) }, "chmod go-w"},
		"link": {func(p string) error {
			if err := os.Rename(p, p+".real"); err != nil {
				return err
			}
			return os.Symlink(p+".real", p)
		}, "link"},
		"dangling link": {func(p string) error {
			if err := os.Remove(p); err != nil {
				return err
			}
			return os.Symlink(p+".real", p)
		}, "link"},
		"of another user": {func(p string) error { return os.Chown(p, 47001, -1) }, "another user"},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(name, "user") {
				kerneltest.Need(t, kerneltest.Root)
			}
			path := filepath.Join(t.TempDir(), "elsa.db")
			s, err := Open(path, time.Unix(1e9, 0))
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
			if err := tt.spoil(path); err != nil {
				t.Fatal(err)
			}
			if s, err := Open(path, time.Unix(1e9, 0)); err == nil {
				s.Close()
				t.Error("it is opened")
			} else if !strings.Contains(err.Error(), tt.say) {
				t.Errorf("%v, want %q", err, tt.say)
			}
			if _, err := os.Stat(path + ".real"); name == "dangling link" && err == nil {
				t.Error("the file it points to was made")
			}
		})
	}
}
