// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"elsa/internal/archive"
	"elsa/internal/journal"
	"elsa/internal/kerneltest"
	"elsa/internal/query"
)

// begin is when the processes of the test ended.
var begin = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// makeArchive makes an archive of one process for each user id in turn.
func makeArchive(t *testing.T, uids ...uint32) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, journal.Subdir), 0o750); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(journal.Options{Dir: filepath.Join(dir, journal.Subdir), MaxAge: time.Hour, MaxBytes: 1 << 20}, journal.Position{}, 1, begin)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for i, uid := range uids {
		at := begin.Add(time.Duration(i) * time.Hour)
		j.Row(&journal.Row{Seq: uint64(i + 1), PID: int32(i + 100), PPID: 1, Start: at.UnixNano(), End: at.UnixNano() + 5, Groups: &journal.Groups{Names: []string{"ci"}}, UID: uid, Comm: [16]byte{'s', 'h'}, Exited: true})
		j.Settled(uint64(i + 1))
		j.Flush(at)
		j.Committed()
	}
	return dir
}

func runArchive(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, complaints bytes.Buffer
	status = run(t.Context(), args, &out, &complaints)
	return status, out.String(), complaints.String()
}

// TestVerbs: seal, list, verify, prune and query do what they say, and damage is named
// and makes the status 1.
func TestVerbs(t *testing.T) {
	dir := makeArchive(t, 0, 1000, 1001)
	at := func(args ...string) (int, string, string) {
		return runArchive(t, append(args, "--archive-dir", dir)...)
	}
	if status, out, _ := at("seal"); status != 0 || !strings.HasPrefix(out, "2 segments sealed, 2 files, 2 rows") {
		t.Fatal(status, out)
	}
	if status, out, _ := at("list"); status != 0 || strings.Count(out, "2026-11-28  ") != 2 {
		t.Error(status, out)
	}
	if status, out, _ := at("query", "--query", `{"format":"csv","user":"1000"}`); status != 0 || strings.Count(out, "\n") != 2 {
		t.Error(status, out)
	}
	if status, _, text := at("query", "--query", `{"exit":"odd"}`); status != 1 || !strings.Contains(text, "zero, nonzero, signal") {
		t.Error(status, text)
	}
	files, _ := archive.Files(dir)
	if err := os.WriteFile(files[0].Path, []byte("PAR1 no"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"verify"}, {"query"}} {
		if status, _, text := at(args...); status != 1 || !strings.Contains(text, files[0].Path) {
			t.Error(args, status, text)
		}
	}
	if status, out, _ := at("prune", "--keep-bytes", "1"); status != 0 || strings.Count(out, "removed") != 2 {
		t.Error(status, out)
	}
	if status, _, text := at("prune", "--keep-days", "0"); status != 2 {
		t.Error(status, text)
	}
}

// TestServe: each user is told of own processes alone, root of all; nobody is told of
// more by what is asked for; too much is refused; the service seals meanwhile.
func TestServe(t *testing.T) {
	dir := makeArchive(t, 0, 1000, 1001, 1000)
	o := &options{dir: dir, socket: filepath.Join(t.TempDir(), "s"), days: 7, bytes: 1 << 30, every: time.Hour, stderr: &bytes.Buffer{}}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- o.serve(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (c net.Conn, err error) {
		kerneltest.Eventually(t, "somebody listens", func() bool {
			c, err = net.Dial("unix", o.socket)
			return err == nil
		})
		return c, err
	}}}
	ask := func(path, body string) (int, string) {
		res, err := client.Post("http://x"+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var b bytes.Buffer
		b.ReadFrom(res.Body)
		return res.StatusCode, b.String()
	}
	post := func(body string) (int, string) { return ask("/v1/processes", body) }
	if status, text := post(`{"format":"jsonn"}`); status != 400 {
		t.Error(status, text)
	}
	if status, _ := post(`{"command":"` + strings.Repeat("x", maxQuestion) + `"}`); status != 400 {
		t.Error(status)
	}
	if status, text := ask("/v1/life", `{"group":"ci"}`); status != 400 || !strings.Contains(text, "takes a time of 1h") {
		t.Error(status, text)
	}
	if os.Getuid() != 0 {
		return
	}
	var l query.Life
	_, text := ask("/v1/life", `{"group":"ci","since":"2026-11-28T12:00:00Z","until":"2026-11-28T13:00:00Z"}`)
	if err := json.Unmarshal([]byte(text), &l); err != nil || l.Check() != nil || l.Owner != nil || l.Processes != 1 || len(l.Spans) != 1 || l.Spans[0].Command != "sh" {
		t.Errorf("%v in %s", err, text)
	}
	rows := func(text string) (n int) {
		var list []map[string]any
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			t.Fatal(err, text)
		}
		return len(list)
	}
	if _, text := post(`{"format":"json"}`); rows(text) != 4 {
		t.Errorf("root sees %d", rows(text))
	}
}

// TestKernelOwn: another user's elsa-archive is told by the service of that user's
// processes alone, and a member of the unix group elsa of all.
func TestKernelOwn(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root, kerneltest.Program("curl", "curl"))
	dir := makeArchive(t, 0, 1000, 1001, 1000)
	os.Chmod(dir, 0o750)
	bin := filepath.Join(t.TempDir(), "elsa-archive")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	run, err := os.MkdirTemp("/tmp", "elsa-archive")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(run)
	os.Chmod(run, 0o755)
	b, _ := os.ReadFile(bin)
	bin = filepath.Join(run, "elsa-archive")
	if err := os.WriteFile(bin, b, 0o755); err != nil {
		t.Fatal(err)
	}
	o := &options{dir: dir, socket: filepath.Join(run, "s"), admins: "daemon", days: 7, bytes: 1 << 30, every: time.Hour, stderr: &bytes.Buffer{}}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- o.serve(ctx) }()
	defer func() { stop(); <-done }()
	kerneltest.Eventually(t, "the socket is there", func() bool {
		_, err := os.Stat(o.socket)
		return err == nil
	})
	cmd := exec.Command("curl", "-s", "--unix-socket", o.socket, "http://x/v1/life", "-d", `{"group":"ci","since":"2026-11-28T13:30:00Z","until":"2026-11-28T14:30:00Z"}`) // it is of user 1001
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	var l query.Life
	out, err := cmd.Output()
	if err = errors.Join(err, json.Unmarshal(out, &l)); err != nil || l.Owner == nil || *l.Owner != 1000 || l.Processes != 0 {
		t.Errorf("user 1000 is told: %s %v", out, err)
	}
	for _, query := range []string{`{"format":"csv"}`, `{"format":"csv","group":"ci"}`} {
		cmd := exec.Command(bin, "query", "--archive-dir", dir, "--socket", o.socket, "--query", query)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
		out, err := cmd.Output()
		if err != nil || strings.Count(string(out), "\n") != 3 {
			t.Errorf("user 1000 is told: %s %v", out, err)
		}
	}
	_, gid := daemonUser(t)
	cmd = exec.Command(bin, "query", "--archive-dir", dir, "--socket", o.socket, "--query", `{"format":"csv"}`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000, Groups: []uint32{gid}}}
	if out, err := cmd.Output(); err != nil || strings.Count(string(out), "\n") != 5 {
		t.Errorf("a member of the unix group is told: %s %v", out, err)
	}
}

// daemonUser are the ids of the user daemon, who has nothing to do, and its group.
func daemonUser(t *testing.T) (uid, gid uint32) {
	t.Helper()
	u, err := user.Lookup("daemon")
	if err != nil {
		t.Fatal(err)
	}
	ids := [2]uint64{}
	for i, text := range []string{u.Uid, u.Gid} {
		if ids[i], err = strconv.ParseUint(text, 10, 32); err != nil {
			t.Fatal(err)
		}
	}
	return uint32(ids[0]), uint32(ids[1])
}

// TestKernelKeeper: who seals as root does it as the user who keeps the archive. That user
// seals what elsad writes as root, and has no way to the journal but to read it.
func TestKernelKeeper(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root)
	uid, gid := daemonUser(t)
	dir := makeArchive(t, 0, 1000, 1001)
	from := filepath.Join(dir, journal.Subdir)
	for path := dir; path != os.TempDir(); path = filepath.Dir(path) {
		os.Chmod(path, 0o755)
	}
	segments, _ := filepath.Glob(filepath.Join(from, "*"))
	for path, mode := range map[string]uint32{dir: 0o1770, from: 0o2750, segments[0]: 0o640, segments[1]: 0o640, segments[2]: 0o640} {
		if err := errors.Join(os.Chown(path, 0, int(gid)), syscall.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	bin := filepath.Join(filepath.Dir(dir), "elsa-archive")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	do := func(as *syscall.Credential, command ...string) (string, error) {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := do(nil, bin, "seal", "--archive-dir", dir); err != nil || !strings.HasPrefix(out, "2 segments sealed, 2 files, 2 rows") {
		t.Fatal(out, err)
	}
	keeper := &syscall.Credential{Uid: uid, Gid: gid}
	if out, err := do(keeper, bin, "prune", "--keep-bytes", "1", "--archive-dir", dir); err != nil || strings.Count(out, "removed") != 2 {
		t.Errorf("the keeper cannot remove what root made by hand: %s %v", out, err)
	}
	os.Remove(filepath.Join(dir, journal.SealedName))
	if out, err := do(keeper, bin, "seal", "--archive-dir", dir); err != nil || !strings.HasPrefix(out, "2 segments sealed") {
		t.Errorf("the keeper cannot seal: %s %v", out, err)
	}
	for _, command := range [][]string{{"touch", filepath.Join(from, "x")}, {"rm", "-f", segments[0]}, {"mv", from, from + "x"}, {"truncate", "-s", "0", segments[0]}} {
		if out, err := do(keeper, command...); err == nil {
			t.Errorf("the keeper of the archive may do this: %q %s", command, out)
		}
	}
	if err := os.Chown(dir, 0, 1<<30); err != nil {
		t.Fatal(err)
	}
	if out, err := do(nil, bin, "seal", "--archive-dir", dir); err == nil || !strings.Contains(out, "run this as the user that keeps it") {
		t.Errorf("root seals another's archive: %s %v", out, err)
	}
}
