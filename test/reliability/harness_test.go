// SPDX-License-Identifier: Apache-2.0

// Package reliability breaks the service in every way its promises speak of,
// under a running load, and compares the bills with an independent count.
//
// ELSA_SOAK=1 in the environment runs the long forms. ELSA_RELIABILITY names a
// file to which every test adds its rows of the table in test/RELIABILITY.md.
package reliability

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
	"elsa/pkg/acct"
	"elsa/pkg/client"
	"elsa/test/workload"
)

var bin string // the directory of the binaries, built with fault points

func TestMain(m *testing.M) {
	if kerneltest.Spawned() {
		kerneltest.Main(m, roles)
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "elsa-reliability")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		bin = dir
		build := exec.Command("go", "build", "-tags", "fault", "-o", dir+"/", "elsa/cmd/elsad", "elsa/cmd/elsactl", "elsa/cmd/elsa-archive")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build binaries: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

func soak() bool { return kerneltest.Soak() }

// needKernel is what every test here needs.
func needKernel(t testing.TB) {
	t.Helper()
	kerneltest.Need(t, kerneltest.Root, kerneltest.InitNamespaces, kerneltest.ProcEvents, kerneltest.BSDAcct)
	kerneltest.Sources(t)
	kerneltest.LockAccounting(t)
}

func row(t *testing.T, fault string, tried int, deaths, lost, doubled uint64, note string) {
	t.Helper()
	kerneltest.Row(t, fault, tried, deaths, lost, doubled, note)
}

// differ says how many of want are not in got, and how many too many are.
func differ(want, got uint64) (lost, doubled uint64) {
	if got < want {
		return want - got, 0
	}
	return 0, got - want
}

// daemon is a state directory and the elsad that runs on it, if one does.
type daemon struct {
	t      testing.TB
	dir    string
	args   []string
	prefix []string // a command that executes elsad
	*run
}

// run is one run of a service.
type run struct {
	cmd     *exec.Cmd
	ready   chan struct{}
	exited  chan struct{}
	address string // of HTTP, once ready

	mu  sync.Mutex
	log bytes.Buffer
}

// newDaemon makes a state directory. When t ends, what runs is killed.
func newDaemon(t testing.TB, dir string, args ...string) *daemon {
	d := &daemon{t: t, dir: dir, args: args}
	if err := os.MkdirAll(d.segments(), 0o700); err != nil {
		t.Fatal(err)
	}
	kerneltest.Mounts(t, filepath.Join(d.state(), "bpf"))
	t.Cleanup(func() {
		if d.run == nil {
			return
		}
		d.kill()
		d.unpin()
		if t.Failed() {
			t.Logf("the last elsad said:\n%s", d.said())
		}
	})
	return d
}

func (d *daemon) state() string    { return filepath.Join(d.dir, "state") }
func (d *daemon) segments() string { return filepath.Join(d.dir, "state", "pacct") }
func (d *daemon) database() string { return filepath.Join(d.dir, "state", "elsa.db") }
func (d *daemon) socket() string   { return filepath.Join(d.dir, "sock") }

// launch starts elsad and does not wait.
func (d *daemon) launch(env ...string) {
	d.t.Helper()
	args := append(d.prefix[:len(d.prefix):len(d.prefix)], filepath.Join(bin, "elsad"),
		"--state-dir", d.state(), "--socket", d.socket(), "--web.listen-address", "127.0.0.1:0")
	args = append(args, d.args...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	d.run = runOf(d.t, cmd)
}

// runOf starts a service.
func runOf(t testing.TB, cmd *exec.Cmd) *run {
	t.Helper()
	r := &run{cmd: cmd, ready: make(chan struct{}), exited: make(chan struct{})}
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			line := lines.Text()
			r.mu.Lock()
			r.log.WriteString(line + "\n")
			r.mu.Unlock()
			if strings.Contains(line, "msg=ready") {
				_, rest, _ := strings.Cut(line, "address=")
				r.address, _, _ = strings.Cut(rest, " ")
				close(r.ready)
			}
		}
		r.cmd.Wait()
		close(r.exited)
	}()
	return r
}

// start runs elsad until it is ready.
func (d *daemon) start(env ...string) {
	d.t.Helper()
	d.launch(env...)
	select {
	case <-d.ready:
	case <-d.exited:
		d.t.Fatalf("elsad ended before it was ready: %v\n%s", d.cmd.ProcessState, d.said())
	case <-time.After(kerneltest.Patience):
		d.t.Fatalf("elsad is not ready after %v\n%s", kerneltest.Patience, d.said())
	}
}

func (r *run) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// kill ends elsad as a crash does.
func (d *daemon) kill() { d.t.Helper(); d.signal(unix.SIGKILL) }

// stop ends elsad in order.
func (d *daemon) stop() {
	d.t.Helper()
	d.signal(unix.SIGTERM)
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		d.t.Errorf("elsad ended with status %d after SIGTERM\n%s", code, d.said())
	}
}

func (d *daemon) signal(s unix.Signal) {
	d.t.Helper()
	d.cmd.Process.Signal(s)
	d.await()
}

// await waits until elsad has ended.
func (d *daemon) await() {
	d.t.Helper()
	select {
	case <-d.exited:
	case <-time.After(kerneltest.Patience):
		d.cmd.Process.Kill()
		d.t.Fatalf("elsad does not end\n%s", d.said())
	}
}

// ctl runs elsactl, which must end with status 0, and returns what it printed.
func (d *daemon) ctl(args ...string) string {
	d.t.Helper()
	cmd := d.command(args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		d.t.Fatalf("elsactl %s: %v: %s\n%s", strings.Join(args, " "), err, &said, d.said())
	}
	return string(out)
}

func (d *daemon) command(args ...string) *exec.Cmd {
	return exec.Command(filepath.Join(bin, "elsactl"), append([]string{"--socket", d.socket()}, args...)...)
}

// report returns all bills once all deaths are on them.
func (d *daemon) report() (r client.UsageReport) {
	d.t.Helper()
	if err := json.Unmarshal([]byte(d.ctl("usage", "--wait", "-o", "json")), &r); err != nil {
		d.t.Fatal(err)
	}
	return r
}

func groupOf(t testing.TB, r client.UsageReport, name string) client.GroupUsage {
	t.Helper()
	for _, g := range r.Groups {
		if g.Name == name {
			return g
		}
	}
	t.Fatalf("no group %s", name)
	return client.GroupUsage{}
}

func (d *daemon) status() (s client.Status) {
	d.t.Helper()
	if err := json.Unmarshal([]byte(d.ctl("status", "-o", "json")), &s); err != nil {
		d.t.Fatal(err)
	}
	return s
}

// scrape returns the totals of groups in /metrics, by series. An elsad that is
// killed meanwhile shows none.
func (r *run) scrape() map[string]float64 {
	totals := r.metrics()
	maps.DeleteFunc(totals, func(series string, _ float64) bool {
		return !strings.HasPrefix(series, "elsa_group_") || !strings.Contains(series, "_total{")
	})
	return totals
}

// metrics returns all of /metrics, by series; nothing when it cannot be had.
func (r *run) metrics() map[string]float64 {
	resp, err := http.Get("http://" + r.address + "/metrics")
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			all[series] = v
		}
	}
	return all
}

// load is a workload in a group that runs until it is told to end.
type load struct {
	t   testing.TB
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// load starts one. With a cgroup, all of it is in that too.
func (d *daemon) load(group string, c *workload.Cgroup, args ...string) *load {
	d.t.Helper()
	run := append([]string{workload.Build(d.t)}, args...)
	if c != nil {
		run = c.Command(run...)
	}
	l := &load{t: d.t, cmd: d.command(append([]string{"run", "-g", group, "--quiet", "--"}, run...)...)}
	l.cmd.Stderr = os.Stderr
	var err error
	if l.in, err = l.cmd.StdinPipe(); err != nil {
		d.t.Fatal(err)
	}
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	l.out = bufio.NewReader(out)
	if err := l.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { l.in.Close(); l.cmd.Wait() })
	kerneltest.Eventually(d.t, "the load is in group "+group, func() bool { return d.started(group) > 2 })
	return l
}

// started is how many processes a group has had; none if elsad does not answer.
func (d *daemon) started(group string) uint64 {
	var r client.UsageReport
	out, err := d.command("usage", group, "-o", "json").Output()
	if err != nil || json.Unmarshal(out, &r) != nil || len(r.Groups) != 1 {
		return 0
	}
	return r.Groups[0].Usage.ProcessesStarted
}

// more waits until a running load has made n more processes.
func (d *daemon) more(group string, n uint64) {
	d.t.Helper()
	was := d.started(group)
	kerneltest.Eventually(d.t, "more of the load in group "+group, func() bool { return d.started(group) >= was+n })
}

// written waits until the kernel has written n more lines to the segments while
// nobody reads them.
func (d *daemon) written(n int64) {
	d.t.Helper()
	was := d.size()
	kerneltest.Eventually(d.t, "the kernel writes lines", func() bool { return d.size() >= was+n*acct.BSDSize })
}

// without waits until n more deaths are on bills that have no line.
func (d *daemon) without(n uint64) {
	d.t.Helper()
	was := d.status().Records.MissingLedger
	kerneltest.Eventually(d.t, "deaths without a line", func() bool { return d.status().Records.MissingLedger >= was+n })
}

// end stops the load and returns what it says it made. All of it is gone then.
func (l *load) end() workload.Truth {
	l.t.Helper()
	l.in.Close()
	line, err := l.out.ReadString('\n')
	if err != nil {
		l.t.Fatalf("the load reported nothing: %v", err)
	}
	truth, err := workload.Parse([]byte(strings.TrimSpace(line)))
	if err != nil {
		l.t.Fatal(err)
	}
	l.cmd.Wait()
	return truth
}
