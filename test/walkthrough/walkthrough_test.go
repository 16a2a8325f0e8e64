// SPDX-License-Identifier: Apache-2.0

// Package walkthrough runs the commands of the README as they are written.
package walkthrough

import (
	"fmt"
	"net"
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

// places is where an installed ELSA has its files and its state.
var places = []string{
	"/usr/sbin/elsad", "/usr/bin/elsactl", "/usr/lib/systemd/system", "/usr/share/elsa", "/usr/share/doc/elsa", "/usr/share/man/man8",
	"/etc/default/elsad", "/etc/elsa", "/var/lib", "/var/lib/elsa", "/var/lib/elsa/elsa.db", "/var/backups", "/var/spool", "/run", "/run/elsa",
}

// machine says what is in these places.
func machine(t *testing.T) map[string]string {
	t.Helper()
	m := map[string]string{}
	for _, path := range places {
		fi, err := os.Stat(path)
		if err != nil {
			m[path] = err.Error()
			continue
		}
		m[path] = fmt.Sprint(fi.Mode(), fi.ModTime())
		if fi.Mode().IsRegular() {
			m[path] += fmt.Sprint(" ", fi.Size())
		}
	}
	return m
}

// freePort is a TCP port that nobody listens on: the session names it.
func freePort(port string) kerneltest.Requirement {
	return kerneltest.Requirement{Name: "port " + port, Probe: func() error {
		l, err := net.Listen("tcp", "localhost:"+port)
		if err == nil {
			l.Close()
		}
		return err
	}}
}

func TestKernelSession(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root, kerneltest.InitNamespaces, kerneltest.ProcEvents, kerneltest.BSDAcct,
		kerneltest.Program("prometheus", "prometheus"), kerneltest.Program("promtool", "prometheus"), kerneltest.Program("curl", "curl"))
	kerneltest.LockAccounting(t)
	kerneltest.Need(t, freePort("9943"), freePort("9944"))
	out := inOwnMachine(t, "set -x\n"+strings.Join(blocks(t, "session"), ""))
	for _, want := range []string{`elsa_group_cpu_seconds_total{group="build",mode="user"}`, "processes", "<title>Groups",
		`elsa_group_processes_ended_total{group="build", instance="127.0.0.1:9943", job="elsa"} =>`} {
		if !strings.Contains(out, want) {
			t.Errorf("the session's output has no %q:\n%s", want, out)
		}
	}
	t.Logf("%s", out)
}

// inOwnMachine runs a shell's commands in a mount namespace of their own, and returns
// what they print. What they install is laid over
// the machine's directories, and they find no configuration and no state of an
// ELSA that the machine has. All of it is gone at the end.
func inOwnMachine(t *testing.T, commands string) string {
	t.Helper()
	before := machine(t)
	defer func() {
		if diff := cmp.Diff(before, machine(t)); diff != "" {
			t.Errorf("the session changed the machine (-before +after):\n%s", diff)
		}
	}()
	dir := t.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	// Overlays need a directory that is none: a tmpfs of our own.
	fmt.Fprintf(&script, "set -eu -o pipefail\nmount --make-rprivate /\nmount -t tmpfs elsa-walk %s\n", dir)
	for _, d := range []string{"/usr", "/etc"} {
		up := filepath.Join(dir, filepath.Base(d))
		fmt.Fprintf(&script, "mkdir -p %s/up %[1]s/work\n", up)
		if d == "/etc" { // 0/0 hides what is below of that name
			fmt.Fprintf(&script, "mkdir %s/up/default\nmknod %[1]s/up/elsa c 0 0\nmknod %[1]s/up/default/elsad c 0 0\n", up)
		}
		fmt.Fprintf(&script, "mount -t overlay elsa-walk -o lowerdir=%[2]s,upperdir=%[1]s/up,workdir=%[1]s/work %[2]s\n", up, d)
	}
	fmt.Fprint(&script, "mount -t tmpfs elsa-walk /var/lib\nmount -t tmpfs elsa-walk /var/backups\nmount -t tmpfs elsa-walk /run\n")
	// End what the session started, also when it fails: elsad is its job.
	fmt.Fprintf(&script, "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\ncd %s\n", root)
	script.WriteString(commands)
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
	return string(out)
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
	out, err := exec.Command("../demo.sh", bin).CombinedOutput()
	if err != nil {
		t.Fatalf("demo: %v\n%s", err, out)
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
