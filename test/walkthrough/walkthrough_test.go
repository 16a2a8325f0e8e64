// SPDX-License-Identifier: Apache-2.0

// Package walkthrough runs the commands of the README as they are written.
package walkthrough

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/internal/kerneltest"
)

// blocks returns the shell blocks of the README that follow a comment of the
// given name, in order.
func blocks(t *testing.T, name string) []string {
	t.Helper()
	kerneltest.Sources(t)
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	re := regexp.MustCompile("(?s)<!-- " + name + " -->\n```[a-z]*\n(.*?)```")
	var found []string
	for _, m := range re.FindAllStringSubmatch(string(text), -1) {
		found = append(found, m[1])
	}
	if len(found) == 0 {
		t.Fatalf("the README has no block <!-- %s -->", name)
	}
	return found
}

// The session runs in a mount namespace of its own, in which what it installs
// and keeps is laid over the machine's directories and gone at the end.
func TestKernelSession(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root, kerneltest.InitNamespaces, kerneltest.ProcEvents, kerneltest.BSDAcct)
	kerneltest.LockAccounting(t)
	dir := t.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	// Overlays need a directory that is none: a tmpfs of our own.
	fmt.Fprintf(&script, "set -eu -o pipefail\nmount --make-rprivate /\nmount -t tmpfs elsa-walk %s\n", dir)
	for _, d := range []string{"/usr", "/etc", "/var/lib", "/run"} {
		up := filepath.Join(dir, strings.ReplaceAll(d, "/", "_"))
		fmt.Fprintf(&script, "mkdir -p %[1]s/up %[1]s/work\nmount -t overlay elsa-walk -o lowerdir=%[2]s,upperdir=%[1]s/up,workdir=%[1]s/work %[2]s\n", up, d)
	}
	// End what the session started, also when it fails: elsad is its job.
	fmt.Fprintf(&script, "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\ncd %s\nset -x\n", root)
	for _, b := range blocks(t, "session") {
		script.WriteString(b)
	}
	file := filepath.Join(t.TempDir(), "session.sh")
	if err := os.WriteFile(file, []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--mount", "bash", file)
	cmd.Env = append(os.Environ(), "BIN="+filepath.Join(t.TempDir(), "bin"))
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the session failed: %v\n%s", err, out)
	}
	for _, want := range []string{`elsa_group_cpu_seconds_total{group="build",mode="user"}`, "processes", "<title>Groups",
		`elsa_group_processes_ended_total{group="build", instance="127.0.0.1:9943", job="elsa"} =>`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the session's output has no %q:\n%s", want, out)
		}
	}
	t.Logf("%s", out)
}

var number = regexp.MustCompile(`[0-9][0-9.e+-]*`)

// make demo prints what the README shows, up to the figures.
func TestKernelDemo(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root, kerneltest.InitNamespaces, kerneltest.ProcEvents, kerneltest.BSDAcct)
	kerneltest.LockAccounting(t)
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin+"/", "elsa/cmd/elsad", "elsa/cmd/elsactl").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	began := time.Now()
	out, err := exec.Command("../demo.sh", bin).CombinedOutput()
	if err != nil {
		t.Fatalf("demo: %v\n%s", err, out)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the demo took %v, more than 30 s", took)
	}
	// The first word of a line does not change with the figures.
	firsts := func(text string) (words []string) {
		for line := range strings.Lines(text) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			words = append(words, number.ReplaceAllString(word, "0"))
		}
		return words
	}
	want, got := firsts(strings.TrimSpace(blocks(t, "demo")[0])), firsts(strings.TrimSpace(string(out)))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("first words of the lines (-README +demo):\n%s\n%s", diff, out)
	}
	if !regexp.MustCompile(`processes +502\n`).Match(out) {
		t.Errorf("not 502 processes:\n%s", out)
	}
}
