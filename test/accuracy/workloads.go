// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"elsa/pkg/proc"
)

// firstUID is the user of the first workload. Debian gives the range 60000-64999
// to nobody without asking.
const firstUID = 64100

// load is a workload: a command, run in an empty directory of its own.
type load struct {
	name string
	args []string
	// files to make in the directory first.
	files map[string]string
}

// workloads returns all there are, of a size for one second of CPU and more.
func workloads(program string, scale float64) []load {
	n := func(count int) string { return strconv.Itoa(max(1, int(float64(count)*scale))) }
	prog := func(name string, args ...string) load {
		return load{name: name, args: append([]string{program}, args...)}
	}
	list := []load{
		prog("fork and exit, × "+n(12000), "fork", n(12000)),
		prog("vfork and exit, × "+n(30000), "vfork", n(30000)),
		prog("fork and exit by 4 at once, × "+n(12000), "storm", n(12000), "4"),
		prog("1 ms each, × "+n(1200), "burn", n(1200), "1"),
		prog("3 ms each, × "+n(400), "burn", n(400), "3"),
		prog("50 ms each, × "+n(24), "burn", n(24), "50"),
		prog("shell loop of `true` and `ls`, × "+n(500), "shell", n(500)),
		prog("double fork, daemon burns "+n(1200)+" ms", "doublefork", n(1200)),
		prog("8 threads, "+n(200)+" ms each", "threads", "8", n(200)),
		prog("8 threads, main thread gone first", "threads", "8", n(200), "leader-first"),
		prog("exec from a thread, 2 × "+n(600)+" ms", "exec-from-thread", n(600)),
		prog("8 children of a killed shell, "+n(300)+" ms", "killed-shell", "8", n(300)),
	}
	if golang, err := exec.LookPath("go"); err == nil {
		list = append(list, load{
			name: "`go build`, empty cache",
			args: []string{golang, "build", "-o", "small", "."},
			files: map[string]string{
				"go.mod":  "module small\n",
				"main.go": "package main\n\nfunc main() { println(\"small\") }\n",
			},
		})
	}
	return list
}

// measure runs one workload under all instruments.
func measure(ctx context.Context, w load, dir, id string, uid uint32, pacct string, instruments []instrument) (r row, err error) {
	work := filepath.Join(dir, id)
	if err := prepare(work, w.files, uid); err != nil {
		return r, err
	}
	group, err := newCgroup(fmt.Sprintf("elsa-accuracy-%d-%s", os.Getpid(), id))
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, group.remove()) }()

	// A shell that waits for a line and then becomes the workload: until then
	// it costs nothing and everybody can be told of it.
	cmd := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", `read line && exec "$@"`, "sh"}, w.args...)...)
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "HOME="+work, "TMPDIR="+work+"/tmp", "GOCACHE="+work+"/cache", "GOTOOLCHAIN=local", "GOFLAGS=", "GO111MODULE=on")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return r, err
	}
	if err := cmd.Start(); err != nil {
		return r, err
	}
	begin := func() error {
		if err := group.add(cmd.Process.Pid); err != nil {
			return err
		}
		for _, i := range instruments {
			if err := i.begin(ctx, id, cmd.Process.Pid, uid); err != nil {
				return fmt.Errorf("%s: %w", i.name(), err)
			}
		}
		_, err := stdin.Write([]byte("go\n"))
		return err
	}
	err = begin()
	stdin.Close() // without the line, the shell ends
	if e := cmd.Wait(); err == nil && e != nil {
		err = fmt.Errorf("run %q: %w: %s", w.args, e, stderr.Bytes())
	}
	if err != nil {
		return r, err
	}

	if r.truth.cpu, err = group.final(ctx); err != nil {
		return r, fmt.Errorf("read control group: %w", err)
	}
	if r.truth.cpu == 0 {
		return r, errors.New("the control group counted no CPU time")
	}
	// Orphans are reaped by init, which may take its time.
	if err := waitUntil(ctx, 10*time.Second, func() (bool, error) { return reaped(uid) }); err != nil {
		return r, fmt.Errorf("wait until init has reaped all: %w", err)
	}
	if r.truth.processes, err = countLines(pacct, uid); err != nil {
		return r, err
	}
	for _, i := range instruments {
		got, err := i.end(ctx, id, uid)
		if err != nil {
			return r, fmt.Errorf("%s: %w", i.name(), err)
		}
		r.readings = append(r.readings, got)
	}
	return r, nil
}

func prepare(dir string, files map[string]string, uid uint32) error {
	for _, d := range []string{dir, filepath.Join(dir, "tmp")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
		if err := os.Chown(d, int(uid), int(uid)); err != nil {
			return err
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// reaped reports whether no process of a user is left, not even a dead one.
func reaped(uid uint32) (bool, error) {
	list, err := proc.Default.Snapshot(nil)
	for i := range list {
		// The snapshot has no owners.
		if p, err := proc.Default.Process(list[i].PID); err == nil && p.UID == uid {
			return false, nil
		}
	}
	return true, err
}

// countLines counts the lines of the accounting file that a user's processes
// left: one for each, written by the kernel. Only the version and the user are
// looked at (struct acct_v3 of linux/acct.h), by none of the code under test.
func countLines(pacct string, uid uint32) (int, error) {
	const size, versionAt, v3, uidAt = 64, 1, 3, 8
	text, err := os.ReadFile(pacct)
	if err != nil {
		return 0, err
	}
	n := 0
	for ; len(text) >= size; text = text[size:] {
		if text[versionAt]&0x7f != v3 {
			return 0, fmt.Errorf("%s: line of version %d", pacct, text[versionAt])
		}
		if binary.NativeEndian.Uint32(text[uidAt:]) == uid {
			n++
		}
	}
	return n, nil
}

// waitUntil asks ready every 20 ms, for at most the time given.
func waitUntil(ctx context.Context, limit time.Duration, ready func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		if ok, err := ready(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
