// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"elsa/internal/kerneltest"
)

// refused runs a command that must end within five seconds with status 1 and
// one line on stderr that holds every one of parts.
func refused(t *testing.T, cmd *exec.Cmd, parts ...string) {
	t.Helper()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	began := time.Now()
	err := cmd.Run()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the refusal took %v", took)
	}
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("%v: %v, want exit status 1; it said: %s", cmd.Args, err, errs.String())
	}
	line := strings.TrimSuffix(errs.String(), "\n")
	if strings.Contains(line, "\n") {
		t.Errorf("more than one line:\n%s", line)
	}
	for _, p := range parts {
		if !strings.Contains(line, p) {
			t.Errorf("the line does not say %q: %s", p, line)
		}
	}
}

// elsad is the command for a start that is expected to fail.
func elsad(t *testing.T, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	dir := t.TempDir()
	return exec.CommandContext(ctx, filepath.Join(bin, "elsad"), append([]string{
		"--state-dir", filepath.Join(dir, "state"), "--socket", filepath.Join(dir, "sock"), "--web.listen-address", "127.0.0.1:0",
		"--log.level", "error",
	}, args...)...)
}

func TestKernelRefusesSecondDaemon(t *testing.T) {
	needKernel(t)
	d := start(t)
	cmd := elsad(t)
	cmd.Args = append(cmd.Args, "--state-dir", filepath.Join(d.dir, "state"))
	refused(t, cmd, "in use", "another elsad", "--state-dir")

	// Another state directory: then accounting is the first one's.
	refused(t, elsad(t), "accounting", "follow:")

	// The first one did not notice.
	d.ctl("run", "-g", "a", "--quiet", "--", "true")
	if got := d.usage("a").Usage.ProcessesEnded; got != 1 {
		t.Errorf("%d processes ended after the refusals, want 1", got)
	}
}

func TestKernelRefusesWithoutRoot(t *testing.T) {
	needKernel(t)
	cmd := elsad(t)
	dir := filepath.Dir(cmd.Args[2])
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	os.Chmod(filepath.Dir(dir), 0o755)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	os.Chmod(bin, 0o755)
	refused(t, cmd, "CAP_")
}

func TestKernelRefusesNamespaces(t *testing.T) {
	needKernel(t)
	for _, tt := range []struct {
		name  string
		flags uintptr
	}{
		{"net namespace", syscall.CLONE_NEWNET},
		{"pid namespace", syscall.CLONE_NEWPID},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := elsad(t, "--source", "proc") // BPF sees all of the machine from any network
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: tt.flags}
			refused(t, cmd, "namespace")
		})
	}
}

func TestKernelRefusesForeignAccounting(t *testing.T) {
	needKernel(t)
	// As psacct does it: accounting to its own file.
	kerneltest.Need(t, kerneltest.Requirement{Name: "accton of package acct", Probe: func() error {
		_, err := exec.LookPath("accton")
		return err
	}})
	file := filepath.Join(t.TempDir(), "pacct")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("accton", file).CombinedOutput(); err != nil {
		t.Fatalf("accton: %v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command("accton", "off").Run() })
	refused(t, elsad(t), "belongs to another program", "follow:")
	before, _ := os.Stat(file)
	exec.Command("true").Run()
	if after, _ := os.Stat(file); after.Size() <= before.Size() {
		t.Error("the other's accounting was switched off")
	}

	// What the refusal offers works.
	d := start(t, "--acct", "follow:"+file)
	d.ctl("run", "-g", "a", "--quiet", "--", "sh", "-c", "/bin/false; /bin/true; :")
	if got := d.usage("a").Usage; got.ProcessesEnded != 3 || got.ExitNonzero != 1 {
		t.Errorf("following: %d processes ended, %d in failure; want the shell and its two children, one of them false", got.ProcessesEnded, got.ExitNonzero)
	}
}

func TestRefusesBadFlags(t *testing.T) {
	for _, args := range [][]string{
		{"--source", "magic"}, {"--acct", "steal"}, {"--acct", "follow:"}, {"--exact", "maybe"},
		{"--commit-interval", "1ns"}, {"--no-such-flag"}, {"extra"}, {"--event-buffer", "1"},
	} {
		cmd := elsad(t, args...)
		out, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != 2 {
			t.Errorf("%v: status %d (%v), want 2", args, code, err)
		}
		if !strings.HasPrefix(string(out), "elsad: ") || strings.Count(string(out), "\n") != 1 {
			t.Errorf("%v: want one line that begins with elsad:, got %q", args, out)
		}
	}
}

func TestKernelRefusesBadRequests(t *testing.T) {
	needKernel(t)
	d := start(t)
	d.ctl("group", "create", "a")
	sleep := exec.Command("sleep", "60")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sleep.Process.Kill(); sleep.Wait() })
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	gone := strconv.Itoa(dead.Process.Pid)
	for _, tt := range []struct {
		args []string
		say  string
	}{
		{[]string{"group", "create", "a"}, "exists"},
		{[]string{"group", "create", "no spaces"}, "not allowed"},
		{[]string{"group", "add", "a", gone}, gone},
		{[]string{"group", "add", "a", strconv.Itoa(sleep.Process.Pid), gone}, gone},
		{[]string{"group", "add", "b", strconv.Itoa(sleep.Process.Pid)}, "b"},
		{[]string{"group", "remove", "a", strconv.Itoa(sleep.Process.Pid)}, "not in group"},
		{[]string{"group", "show", "b"}, "b"},
		{[]string{"usage", "b"}, "b"},
		{[]string{"group", "delete", "b"}, "b"},
	} {
		_, errs, status := d.try(tt.args...)
		if status != 1 || !strings.HasPrefix(errs, "elsactl: ") || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, tt.say) {
			t.Errorf("elsactl %v: status %d and %q, want status 1 and one line with %q", tt.args, status, errs, tt.say)
		}
	}
	if got := d.usage("a").Usage.ProcessesLive; got != 0 {
		t.Errorf("%d members after the refusals, want none: the others must not be added", got)
	}
}
