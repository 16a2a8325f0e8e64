// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"elsa/internal/kerneltest"
)

// nobody is a user without rights.
const nobody = 65534

// tryAs runs elsactl as another user.
func (d *daemon) tryAs(uid uint32, args ...string) (stdout, stderr string, status int) {
	d.t.Helper()
	cmd := d.ctlCommand(args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		d.t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// sleepAs starts a process that sleeps until t ends and returns its pid.
func sleepAs(t *testing.T, uid uint32) string {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return strconv.Itoa(cmd.Process.Pid)
}

// A user without rights manages groups and processes of its own, reads every
// total, and touches nothing of others.
func TestKernelUnprivilegedUser(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root, kerneltest.InitNamespaces, kerneltest.ProcEvents)
	d := start(t, "--acct", "off")
	os.Chmod(filepath.Dir(d.dir), 0o755)
	os.Chmod(bin, 0o755)
	own, roots, others := sleepAs(t, nobody), sleepAs(t, 0), sleepAs(t, otherUser)
	d.ctl("group", "create", "roots")
	d.ctl("group", "add", "roots", roots)

	for _, args := range [][]string{
		{"group", "create", "mine"},
		{"group", "add", "mine", own},
		{"group", "show", "mine"},
		{"group", "list"},
		{"run", "-g", "mine", "--quiet", "--", "true"},
		{"usage", "--wait"},
		{"usage", "roots"},
		{"status"},
		{"group", "remove", "mine", own},
		{"group", "add", "mine", own},
	} {
		if out, errs, status := d.tryAs(nobody, args...); status != 0 {
			t.Errorf("elsactl %v: status %d: %s%s", args, status, errs, out)
		}
	}
	if u := d.usage("mine").Usage; u.ProcessesLive != 1 || u.ProcessesEnded != 1 {
		t.Errorf("group of an unprivileged user: %d live, %d ended, want its sleep and its true", u.ProcessesLive, u.ProcessesEnded)
	}

	open, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(open) })
	os.Chmod(open, 0o777)
	before := d.ctl("group", "list", "-o", "json")
	for _, tt := range []struct {
		args []string
		say  string
	}{
		{[]string{"group", "create", "roots"}, "exists"},
		{[]string{"group", "create", "my mine"}, "not allowed"},
		{[]string{"group", "add", "mine", roots}, "uid 0"},
		{[]string{"group", "add", "mine", "1"}, "uid 0"},
		{[]string{"group", "add", "mine", own, others}, "uid " + strconv.Itoa(otherUser)},
		{[]string{"group", "add", "--tree", "mine", "1"}, "uid 0"},
		{[]string{"group", "add", "--move", "mine", roots}, "uid 0"},
		{[]string{"group", "add", "roots", own}, "belongs to uid 0"},
		{[]string{"group", "show", "roots"}, "belongs to uid 0"},
		{[]string{"group", "remove", "roots", roots}, "belongs to uid 0"},
		{[]string{"group", "close", "roots"}, "belongs to uid 0"},
		{[]string{"group", "delete", "roots"}, "belongs to uid 0"},
		{[]string{"run", "-g", "roots", "--", "true"}, "belongs to uid 0"},
		{[]string{"explain", roots}, "belongs to uid 0"},
		{[]string{"report", "--by", "command"}, "root and members"},
		{[]string{"report", "--group", "roots", "--by", "command"}, "belongs to uid 0"},
		{[]string{"backup", filepath.Join(open, "copy")}, "root and members"},
	} {
		out, errs, status := d.tryAs(nobody, tt.args...)
		if status == 0 || out != "" || !strings.HasPrefix(errs, "elsactl: ") || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, tt.say) {
			t.Errorf("elsactl %v: status %d, %q and %q, want one line with %q", tt.args, status, out, errs, tt.say)
		}
	}
	if after := d.ctl("group", "list", "-o", "json"); after != before {
		t.Errorf("refused requests changed the groups from\n%s to\n%s", before, after)
	}
	for group, pid := range map[string]string{"mine": own, "roots": roots} {
		if u := d.usage(group).Usage; u.ProcessesLive != 1 {
			t.Errorf("group %s has %d members after the refusals, want process %s alone", group, u.ProcessesLive, pid)
		}
	}
	// The other way round a third user sees nothing of the second's group.
	if _, errs, status := d.tryAs(otherUser, "group", "show", "mine"); status != 1 || !strings.Contains(errs, "belongs to uid 65534") {
		t.Errorf("group show by a third user: status %d, %q", status, errs)
	}
	// Nor does anybody get at the state itself.
	for _, path := range []string{"state", "state/elsa.db"} {
		cmd := exec.Command("ls", filepath.Join(d.dir, path))
		if filepath.Ext(path) == ".db" {
			cmd = exec.Command("cat", filepath.Join(d.dir, path))
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "denied") {
			t.Errorf("a user without rights reads %s: %v: %.100s", path, err, out)
		}
	}
}

// A state directory or a socket that others could have made or could replace
// is refused, and left as it is.
func TestKernelRefusesUnsafePaths(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root, kerneltest.InitNamespaces, kerneltest.ProcEvents)
	link := func(t *testing.T, path string) {
		if err := os.Symlink(t.TempDir(), path); err != nil {
			t.Fatal(err)
		}
	}
	mkdir := func(mode os.FileMode, uid int) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
			os.Chmod(path, mode)
			os.Chown(path, uid, -1)
		}
	}
	file := func(t *testing.T, path string) {
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const state, sock = 2, 4 // in the arguments
	for _, tt := range []struct {
		name string
		arg  int
		make func(t *testing.T, path string)
		say  []string
	}{
		{"state: link", state, link, []string{"symbolic link", "--state-dir"}},
		{"state: file", state, file, []string{"not a directory"}},
		{"state: writable by all", state, mkdir(0o777, 0), []string{"0777", "chmod"}},
		{"state: writable by group", state, mkdir(0o770, 0), []string{"0770", "chmod"}},
		{"state: of another", state, mkdir(0o700, nobody), []string{"uid 65534", "chown"}},
		{"segments: link", state, func(t *testing.T, path string) {
			mkdir(0o700, 0)(t, path)
			link(t, filepath.Join(path, "pacct"))
		}, []string{"pacct", "symbolic link"}},
		{"segments: writable by all", state, func(t *testing.T, path string) {
			mkdir(0o700, 0)(t, path)
			mkdir(0o777, 0)(t, filepath.Join(path, "pacct"))
		}, []string{"pacct", "0777", "chmod go-w"}},
		{"socket: link", sock, link, []string{"symbolic link", "--socket"}},
		{"socket: file", sock, file, []string{"a file", "--socket"}},
		{"socket: directory", sock, mkdir(0o755, 0), []string{"a directory", "--socket"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := elsad(t)
			path := cmd.Args[tt.arg]
			tt.make(t, path)
			before := describe(t, path)
			refused(t, cmd, tt.say...)
			if after := describe(t, path); after != before {
				t.Errorf("the refused path changed from %s to %s", before, after)
			}
		})
	}
	t.Run("socket's directory: writable by all", func(t *testing.T) {
		cmd := elsad(t)
		dir := filepath.Join(t.TempDir(), "run")
		mkdir(0o777, 0)(t, dir)
		cmd.Args[sock] = filepath.Join(dir, "sock")
		refused(t, cmd, "writable by everyone", "chmod", "--socket")
	})
}

func describe(t *testing.T, path string) string {
	t.Helper()
	fi, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	text := fi.Mode().String()
	if fi.Mode().IsRegular() {
		content, _ := os.ReadFile(path)
		text += " " + string(content)
	}
	if to, err := os.Readlink(path); err == nil {
		text += " " + to
	}
	return text
}
