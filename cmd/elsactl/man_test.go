// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// The manual page and the completions in dist are those of this program. After
// a change of a verb: go test ./cmd/elsactl -update
func TestGenerated(t *testing.T) {
	dir := t.TempDir()
	if status := run([]string{"man", dir}, io.Discard, os.Stderr); status != 0 {
		t.Fatalf("man: status %d", status)
	}
	page, err := os.ReadFile(filepath.Join(dir, "elsactl.1"))
	if err != nil {
		t.Fatal(err)
	}
	completion := func(shell string) string {
		var out strings.Builder
		if status := run([]string{"completion", shell}, &out, os.Stderr); status != 0 {
			t.Fatalf("completion %s: status %d", shell, status)
		}
		return out.String()
	}
	for file, want := range map[string]string{
		"man/elsactl.1":            string(page),
		"completions/elsactl.bash": completion("bash"),
		"completions/_elsactl":     completion("zsh"),
		"completions/elsactl.fish": completion("fish"),
	} {
		path := filepath.Join("../../dist", file)
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("dist/%s is stale; run go test ./cmd/elsactl -update (-want +got):\n%s", file, diff)
		}
	}
}

// The page names every verb and every flag that --help does.
func TestManualIsComplete(t *testing.T) {
	page := manual(newRoot(&ctl{}))
	plain := strings.NewReplacer(`\-`, "-", `\fI`, "", `\fR`, "", `\e`, `\`).Replace(page)
	for _, path := range []string{
		"group create", "group add", "group remove", "group list", "group show", "group close", "group delete", "run", "mark", "usage", "report", "explain", "doctor", "top", "status",
	} {
		cmd, _, err := newRoot(&ctl{}).Find(strings.Fields(path))
		if err != nil || cmd.Name() == "elsactl" {
			t.Errorf("no verb %s: %v", path, err)
			continue
		}
		_, section, found := strings.Cut(plain, "\n.SS "+path)
		if !found {
			t.Errorf("the page has no %s", path)
			continue
		}
		section, _, _ = strings.Cut(section, "\n.S")
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if !strings.Contains(section, "--"+f.Name) {
				t.Errorf("%s of the page lacks --%s", path, f.Name)
			}
		})
	}
}

func TestRoff(t *testing.T) {
	got := roff(".dot\n'quote\na-b \\n")
	if want := "\\&.dot\n\\&'quote\na\\-b \\en"; got != want {
		t.Errorf("roff: %q, want %q", got, want)
	}
}
