// SPDX-License-Identifier: Apache-2.0

// Package e2e runs the real binaries on the running kernel, as a user would.
//
// It builds them, unless ELSA_E2E_BIN names the directory they are in.
// ELSA_E2E_SOURCE is the --source they read events from, auto by default.
package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
	"elsa/pkg/client"
)

var bin string // the directory of the binaries under test

func TestMain(m *testing.M) {
	if kerneltest.Spawned() {
		kerneltest.Main(m, nil)
	}
	os.Exit(func() int {
		if bin = os.Getenv("ELSA_E2E_BIN"); bin != "" {
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "elsa-e2e")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		bin = dir
		build := exec.Command("go", "build", "-o", dir+"/", "elsa/cmd/elsad", "elsa/cmd/elsactl", "elsa/cmd/elsa-archive")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build binaries: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// daemon is a running elsad with throw-away state.
type daemon struct {
	t       testing.TB
	dir     string
	args    []string
	alter   func(*exec.Cmd) // of the command before each start
	cmd     *exec.Cmd
	exited  chan struct{}
	address string // of HTTP

	mu  sync.Mutex
	log bytes.Buffer
}

// needKernel is what every test here needs.
func needKernel(t testing.TB) {
	t.Helper()
	kerneltest.Need(t, kerneltest.Root, kerneltest.InitNamespaces, kerneltest.ProcEvents, kerneltest.BSDAcct)
	kerneltest.LockAccounting(t)
}

// start runs elsad until it is ready. When t ends it is stopped in order, and
// must end with status 0.
func start(t testing.TB, args ...string) *daemon {
	t.Helper()
	return startAs(t, func(*exec.Cmd) {}, args...)
}

// startAs is start with another command line, user or environment.
func startAs(t testing.TB, alter func(*exec.Cmd), args ...string) *daemon {
	t.Helper()
	kerneltest.Sources(t)
	if source := os.Getenv("ELSA_E2E_SOURCE"); source != "" {
		args = append([]string{"--source", source}, args...)
	}
	d := &daemon{t: t, dir: t.TempDir(), args: args, alter: alter}
	kerneltest.Mounts(t, filepath.Join(d.dir, "state", "bpf"))
	d.start()
	t.Cleanup(func() {
		if d.running() {
			d.stop()
		}
		if t.Failed() {
			t.Logf("elsad said:\n%s", d.said())
		}
	})
	return d
}

func (d *daemon) socket() string { return filepath.Join(d.dir, "sock") }

// start runs elsad on the state there is, until it is ready.
func (d *daemon) start() {
	d.t.Helper()
	d.cmd = exec.Command(filepath.Join(bin, "elsad"), append([]string{
		"--state-dir", filepath.Join(d.dir, "state"), "--socket", d.socket(), "--web.listen-address", "127.0.0.1:0",
	}, d.args...)...)
	if d.alter != nil {
		d.alter(d.cmd)
	}
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	ready := make(chan string, 1)
	d.exited = make(chan struct{})
	go func() {
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			line := lines.Text()
			d.mu.Lock()
			d.log.WriteString(line + "\n")
			d.mu.Unlock()
			if strings.Contains(line, "msg=ready") {
				ready <- line
			}
		}
		d.cmd.Wait()
		close(d.exited)
	}()
	select {
	case line := <-ready:
		_, rest, _ := strings.Cut(line, "address=")
		d.address, _, _ = strings.Cut(rest, " ")
	case <-d.exited:
		d.t.Fatalf("elsad ended before it was ready: %v\n%s", d.cmd.ProcessState, d.said())
	case <-time.After(kerneltest.Patience):
		d.cmd.Process.Kill()
		d.t.Fatalf("elsad is not ready after %v\n%s", kerneltest.Patience, d.said())
	}
}

func (d *daemon) said() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

func (d *daemon) running() bool {
	select {
	case <-d.exited:
		return false
	default:
		return true
	}
}

// stop ends elsad in order.
func (d *daemon) stop() {
	d.t.Helper()
	d.signal(unix.SIGTERM)
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		d.t.Errorf("elsad ended with status %d after SIGTERM\n%s", code, d.said())
	}
}

// kill ends elsad as a crash does.
func (d *daemon) kill() { d.t.Helper(); d.signal(unix.SIGKILL) }

func (d *daemon) signal(s unix.Signal) {
	d.t.Helper()
	d.cmd.Process.Signal(s)
	select {
	case <-d.exited:
	case <-time.After(kerneltest.Patience):
		d.cmd.Process.Kill()
		d.t.Fatalf("elsad does not end after signal %v\n%s", s, d.said())
	}
}

// ctl runs elsactl, which must end with status 0, and returns what it printed.
func (d *daemon) ctl(args ...string) string {
	d.t.Helper()
	out, errs, status := d.try(args...)
	if status != 0 {
		d.t.Fatalf("elsactl %s: status %d: %s%s", strings.Join(args, " "), status, errs, out)
	}
	return out
}

// try runs elsactl and returns what it printed and its exit status.
func (d *daemon) try(args ...string) (stdout, stderr string, status int) {
	d.t.Helper()
	cmd := d.ctlCommand(args...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		d.t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

func (d *daemon) ctlCommand(args ...string) *exec.Cmd {
	return exec.Command(filepath.Join(bin, "elsactl"), append([]string{"--socket", d.socket()}, args...)...)
}

// usage returns one group's bill once all deaths are on it.
func (d *daemon) usage(group string) client.GroupUsage {
	d.t.Helper()
	r := d.report(group)
	if len(r.Groups) != 1 || r.Groups[0].Name != group {
		d.t.Fatalf("usage %s: got %d groups", group, len(r.Groups))
	}
	return r.Groups[0]
}

func (d *daemon) report(groups ...string) (r client.UsageReport) {
	d.t.Helper()
	out := d.ctl(append([]string{"usage", "--wait", "-o", "json"}, groups...)...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		d.t.Fatalf("usage -o json: %v in %s", err, out)
	}
	return r
}

func (d *daemon) status() (s client.Status) {
	d.t.Helper()
	if err := json.Unmarshal([]byte(d.ctl("status", "-o", "json")), &s); err != nil {
		d.t.Fatal(err)
	}
	return s
}

// scrape returns the text of /metrics.
func (d *daemon) scrape() string {
	d.t.Helper()
	resp, err := http.Get("http://" + d.address + "/metrics")
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		d.t.Fatalf("scrape: %v, %v: %s", resp.Status, err, text)
	}
	return string(text)
}
