// SPDX-License-Identifier: Apache-2.0

package nss

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
)

func TestMain(m *testing.M) {
	kerneltest.Main(m, map[string]kerneltest.Role{"userdb": userdb})
}

// userdb is a process with a /run of its own, in which a user record of systemd is.
// It prints what is known of that user.
func userdb([]string) int {
	fail := func(err error) int {
		fmt.Println(err)
		return 1
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fail(err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return fail(err)
	}
	if err := os.Mkdir("/run/userdb", 0o755); err != nil {
		return fail(err)
	}
	record := `{"userName":"elsauser","uid":4243,"gid":4243,"homeDirectory":"/","shell":"/bin/sh"}`
	if err := os.WriteFile("/run/userdb/elsauser.user", []byte(record), 0o644); err != nil {
		return fail(err)
	}
	if err := os.Symlink("elsauser.user", "/run/userdb/4243.user"); err != nil {
		return fail(err)
	}
	n := New(nil)
	n.Want([]string{"elsauser", "elsa-nobody"}, nil)
	before, _ := n.User(4243)
	n.Look(context.Background())
	after, _ := n.User(4243)
	is, _ := n.IsUser(4243, "elsauser")
	unknown, _ := n.Unknown()
	fmt.Println(before, after, is, unknown)
	return 0
}

// A user that a real nss module knows, and no file, is known by name.
func TestKernelModule(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root, kerneltest.Program("getent", "libc-bin"), module)
	cmd := kerneltest.Command("userdb")
	cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS // of the whole process: a thread cannot do it for all
	out, err := cmd.Output()
	if got := strings.TrimSpace(string(out)); err != nil || got != "4243 elsauser true [elsa-nobody]" {
		t.Errorf("%v: %s; want the number, then the name", err, got)
	}
}

// module is the nss module of systemd.
var module = kerneltest.Requirement{Name: "libnss-systemd", Probe: func() error {
	text, err := os.ReadFile("/etc/nsswitch.conf")
	if err == nil && !strings.Contains(string(text), "systemd") {
		err = errors.New("/etc/nsswitch.conf does not name it; apt install libnss-systemd")
	}
	return err
}}

// getent answers by name and number, leaves out what it does not know, and what has
// more members than are read is known all the same.
func TestGetent(t *testing.T) {
	kerneltest.Need(t, kerneltest.Program("getent", "libc-bin"))
	root, err := user.LookupId("0")
	if err != nil {
		t.Skip(err)
	}
	got, err := getent(t.Context(), "passwd", []string{"0", "elsa-nobody", root.Username})
	if err != nil || len(got) != 2 || got[0] != (entry{root.Username, 0}) || got[1] != got[0] {
		t.Errorf("%v, %v", got, err)
	}
}

// A child that does not answer is ended, with all that it started; one that says very
// much is read in part.
func TestGetentHangs(t *testing.T) {
	dir := t.TempDir()
	fake := func(script string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "getent"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	pids := filepath.Join(dir, "pids")
	fake("sleep 1000 & echo $! $$ >" + pids + "; wait")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := getent(ctx, "passwd", []string{"0"})
		ended <- err
	}()
	var both string
	kerneltest.Eventually(t, "the child hangs", func() bool {
		text, _ := os.ReadFile(pids)
		both = strings.TrimSpace(string(text))
		return both != ""
	})
	cancel()
	if err := <-ended; err == nil {
		t.Error("a child that hangs is no error")
	}
	kerneltest.Eventually(t, "no child is left", func() bool {
		return exec.Command("ps", "-o", "pid=", "-p", strings.ReplaceAll(both, " ", ",")).Run() != nil
	})

	fake(`printf 'big:x:7:'; head -c 3000000 /dev/zero | tr '\0' m; echo`)
	ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if got, err := getent(ctx, "group", []string{"7"}); err != nil || len(got) != 1 || got[0] != (entry{"big", 7}) {
		t.Errorf("a large group: %v, %v", got, err)
	}
	fake("exit 3")
	if _, err := getent(ctx, "group", []string{"7"}); err == nil {
		t.Error("a failure is no error")
	}
}
