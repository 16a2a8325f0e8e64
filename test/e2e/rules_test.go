// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
	"elsa/pkg/client"
)

func TestKernelRules(t *testing.T) {
	needKernel(t)
	dir := t.TempDir()
	config := filepath.Join(dir, "elsa.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mark := "elsa-e2e-" + strconv.Itoa(os.Getpid())
	write(`
commit-interval: 200ms
log.level: debug
rules:
  match: all
  list:
    - group: marked/{{.User}}
      env: {ELSA_TEST_MARK: ` + mark + `}
    - group: seqs
      command: seq
      parent: marked/*
`)
	d := start(t, "--config", config)
	run := func(script string) {
		t.Helper()
		t.Setenv("ELSA_TEST_MARK", mark)
		cmd := d.ctlCommand() // only for its environment
		cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", script}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		os.Unsetenv("ELSA_TEST_MARK")
	}
	// The shell lives long enough to be looked at; what it forks inherits.
	run("sleep 0.2; for i in 1 2 3; do /bin/true; done; seq 30000 | sleep 0.2")
	marked, seqs := d.usage("marked/root").Usage, d.usage("seqs").Usage
	if marked.ProcessesEnded != 7 {
		t.Errorf("marked/root: %d processes ended, want the shell, two sleeps, three trues and seq", marked.ProcessesEnded)
	}
	if seqs.ProcessesEnded != 1 {
		t.Errorf("seqs: %d processes ended, want one", seqs.ProcessesEnded)
	}

	// A dry run says the same, rule by rule, and changes nothing.
	t.Setenv("ELSA_TEST_MARK", mark)
	sleep := exec.Command("sleep", "1000")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	os.Unsetenv("ELSA_TEST_MARK")
	defer func() { sleep.Process.Kill(); sleep.Wait() }()
	pid := strconv.Itoa(sleep.Process.Pid)
	try := func(args ...string) (out client.RulesTrial) {
		t.Helper()
		if err := json.Unmarshal([]byte(d.ctl(append([]string{"rules", "test", pid, "-o", "json"}, args...)...)), &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	kerneltest.Eventually(t, "the sleep is in its group", func() bool { return len(d.explain(sleep.Process.Pid).Groups) == 1 })
	got := try()
	if len(got.Rules) != 2 || got.Rules[0].Outcome != "member" || got.Rules[0].Group != "marked/root" || got.Rules[1].Outcome != "mismatch" ||
		len(got.Joins) != 0 || strings.Join(got.Groups, " ") != "marked/root" || got.Command != "sleep" {
		t.Errorf("rules test: %+v", got)
	}
	if c := got.Rules[1].Conditions; len(c) != 2 || c[0].Fulfilled || c[0].Have[0] != "sleep" || !c[1].Fulfilled {
		t.Errorf("rules test, conditions of the second rule: %+v", c)
	}
	next := filepath.Join(dir, "next.yaml")
	if err := os.WriteFile(next, []byte("rules:\n  list:\n  - {group: tried, parent: marked/*, cgroup: '*', executable: '*/sleep'}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := try("--config", next); strings.Join(got.Joins, " ") != "tried" {
		t.Errorf("rules test --config: %+v", got)
	}
	if e := d.explain(sleep.Process.Pid); len(e.Groups) != 1 {
		t.Errorf("the dry runs changed groups: %+v", e.Groups)
	}
	d.ctl("group", "remove", "marked/root", pid)
	if got := try(); strings.Join(got.Joins, " ") != "marked/root" {
		t.Errorf("rules test once it left: %+v", got)
	}

	// A bad file keeps the old rules and says where it is wrong.
	write("rules:\n  list:\n    - {group: a b, command: x}\n")
	d.cmd.Process.Signal(unix.SIGHUP)
	kerneltest.Eventually(t, "elsad refuses the file", func() bool {
		return strings.Contains(d.said(), "elsa.yaml: line 3: bad group name") && strings.Contains(d.said(), "old rules stay")
	})
	run("sleep 0.2; /bin/true")
	if got := d.usage("marked/root").Usage.ProcessesEnded; got != 7+3 {
		t.Errorf("after the bad file: %d processes ended, want %d", got, 7+3)
	}

	// A good one takes their place, and no count is lost.
	if strings.Contains(d.said(), "take a restart") {
		t.Error("options are said to have changed")
	}
	write("commit-interval: 300ms\nlog.level: debug\nrules:\n  list:\n    - {group: other, env: {ELSA_TEST_MARK: '" + mark + "'}}\n")
	d.cmd.Process.Signal(unix.SIGHUP)
	kerneltest.Eventually(t, "elsad takes the file over", func() bool { return strings.Contains(d.said(), "rules read again") })
	if !strings.Contains(d.said(), `msg="options changed in the configuration; they take a restart" options=commit-interval`) {
		t.Error("it does not say that an option has changed")
	}
	run("sleep 0.2; /bin/true")
	if got := d.usage("other").Usage.ProcessesEnded; got != 3 {
		t.Errorf("by the new rules: %d processes ended, want 3", got)
	}
	if got := d.usage("marked/root").Usage.ProcessesEnded; got != 7+3 {
		t.Errorf("marked/root: %d processes ended after the new rules, want %d as before", got, 7+3)
	}
}
