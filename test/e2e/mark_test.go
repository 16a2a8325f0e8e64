// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"elsa/pkg/client"
	"elsa/test/workload"
)

// dialog is with a shell that is told line by line what to run. elsactl asks d in it.
type dialog struct {
	d   *daemon
	in  io.Writer
	out *bufio.Reader
}

// talk starts a shell, which ends with the test.
func (d *daemon) talk(credential *syscall.Credential, argv ...string) *dialog {
	d.t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	in, err := cmd.StdinPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { in.Close(); cmd.Wait() })
	s := &dialog{d, in, bufio.NewReader(out)}
	s.run(fmt.Sprintf(`elsactl() { %s --socket %s "$@"; }`, filepath.Join(bin, "elsactl"), d.socket()))
	return s
}

// run has the shell run a line, and returns what that printed and its status.
func (s *dialog) run(line string) (printed string, status int) {
	s.d.t.Helper()
	fmt.Fprintf(s.in, "%s\necho \"<$?>\"\n", line)
	for {
		text, err := s.out.ReadString('\n')
		if err != nil {
			s.d.t.Fatalf("%s: %v after %q", line, err, printed)
		}
		if n, _ := fmt.Sscanf(text, "<%d>", &status); n == 1 {
			return printed, status
		}
		printed += text
	}
}

// since is what the shell is told of a mark.
func (s *dialog) since(mark string) client.GroupUsage {
	s.d.t.Helper()
	var r client.UsageReport
	text, status := s.run("elsactl usage --wait -o json --since " + mark)
	if err := json.Unmarshal([]byte(text), &r); err != nil || status != 0 || len(r.Groups) != 1 {
		s.d.t.Fatalf("usage --since %s: status %d, %v in %s", mark, status, err, text)
	}
	return r.Groups[0]
}

// A mark has what the shell and its children used since, as the scheduler counts it:
// ended and live, and nothing from before.
func TestKernelMark(t *testing.T) {
	needKernel(t)
	d := start(t)
	argv, cg := []string{"sh"}, workload.NewCgroup(t)
	if cg != nil {
		argv = cg.Command(argv...)
	}
	s := d.talk(nil, argv...)
	const loop = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"
	burn := workload.Build(t)
	wait := filepath.Join(t.TempDir(), "wait")
	// Before: the shell, one that ended, and one that lives on and burns once more.
	s.run("mkfifo " + wait)
	s.run(loop + "; " + burn + " burn 2 100 >/dev/null")
	s.run(fmt.Sprintf(`sh -c '%s; read x; %s; read x' <%s & exec 3>%[3]s`, loop, loop, wait))
	if out, status := s.run("elsactl usage --since mark"); status != 1 || out != "elsactl: this shell has no mark mark: set one with elsactl mark mark\n" {
		t.Errorf("usage before the mark: status %d, %q", status, out)
	}
	if out, status := s.run("elsactl mark"); status != 0 || !strings.Contains(out, "(sh)") {
		t.Fatalf("mark: status %d, %s", status, out)
	}
	var before, after float64
	if cg != nil {
		before = cg.CPU(t).Seconds()
	}
	s.run("echo >&3; " + loop + "; " + burn + " burn 3 100 >/dev/null; wait=1")
	if cg != nil {
		after = cg.CPU(t).Seconds()
	}
	u := s.since("mark")
	// elsactl counts as well: what is left of the one that marked, and the one that asks.
	if u.Usage.ProcessesLive != 3 || u.Usage.ProcessesEnded != 5 || !u.Temporary || u.Labels["mark"] != "mark" {
		t.Errorf("since the mark %+v", u)
	}
	if got := u.Usage.CPUSeconds; cg != nil && (got < 0.99*(after-before) || got > after-before+0.25) {
		t.Errorf("since the mark %.3f s of CPU; the scheduler counts %.3f s, and %.3f s before", got, after-before, before)
	}
	t.Logf("since the mark %.3f s of CPU; the scheduler counts %.3f s without elsactl, and %.3f s before", u.Usage.CPUSeconds, after-before, before)

	// Set again it begins anew, and the shell goes out of the first.
	s.run("elsactl mark other; elsactl mark")
	if again := s.since("mark"); again.Name == u.Name || again.Usage.ProcessesLive != 3 || again.Usage.CPUSeconds > u.Usage.CPUSeconds/2 {
		t.Errorf("since it was set again %+v", again)
	}
	if old := d.usage(u.Name); old.State != "closed" || old.Usage.ProcessesLive != 0 {
		t.Errorf("the first mark is %+v", old)
	}
	if other := s.since("other"); other.Usage.ProcessesLive != 3 || other.Usage.ProcessesEnded < 2 {
		t.Errorf("the other mark has %+v", other.Usage)
	}
	s.run("exec 3>&-")
}

// Users without rights have marks of their own, which other shells do not find, and
// quotas as for any group.
func TestKernelMarkOfUser(t *testing.T) {
	needKernel(t)
	d := start(t)
	for _, dir := range []string{filepath.Dir(d.dir), bin} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	who := &syscall.Credential{Uid: nobody, Gid: nobody}
	mine, others := d.talk(who, "sh"), d.talk(who, "sh")
	if out, status := mine.run("elsactl mark; true; true"); status != 0 || !strings.Contains(out, "set mark mark") {
		t.Fatalf("mark: status %d, %s", status, out)
	}
	mine.run("i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done")
	if u := mine.since("mark"); u.Owner != nobody || u.Usage.ProcessesLive != 2 || u.Usage.CPUSeconds == 0 {
		t.Errorf("a user's mark has %+v", u)
	}
	for _, line := range []string{"elsactl usage --since mark", "elsactl mark --pid 1"} {
		if out, status := others.run(line); status != 1 || strings.Count(out, "\n") != 1 {
			t.Errorf("%s: status %d, %s", line, status, out)
		}
	}
	var gs []client.Group
	if err := json.Unmarshal([]byte(d.ctl("group", "list", "-o", "json")), &gs); err != nil || len(gs) != 1 {
		t.Errorf("groups %+v (%v)", gs, err)
	}
}
