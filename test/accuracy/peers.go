// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

var version = regexp.MustCompile(`\d+\.\d+(\.\d+)*`)

// find looks for a program in PATH and where Debian keeps what is root's.
func find(names ...string) (string, bool) {
	for _, name := range names {
		for _, try := range []string{name, "/usr/sbin/" + name} {
			if path, err := exec.LookPath(try); err == nil {
				return path, true
			}
		}
	}
	return "", false
}

// sa is GNU acct's summary of the accounting file.
type sa struct{ path, version, pacct string }

func findSA(ctx context.Context, pacct string) (*sa, bool) {
	path, ok := find("sa")
	if !ok {
		return nil, false
	}
	out, _ := exec.CommandContext(ctx, path, "--version").CombinedOutput()
	return &sa{path, string(version.Find(out)), pacct}, true
}

func (s *sa) name() string { return strings.TrimSpace("GNU acct " + s.version) }

func (s *sa) begin(context.Context, string, int, uint32) error { return nil }

func (s *sa) end(ctx context.Context, _ string, uid uint32) (reading, error) {
	out, err := exec.CommandContext(ctx, s.path, "--print-users", s.pacct).Output()
	if err != nil {
		return reading{}, fmt.Errorf("%s --print-users: %w", s.path, err)
	}
	return parseSA(out, strconv.Itoa(int(uid)))
}

// parseSA sums the lines of a user, "64100  0.06 cpu  289k mem  0 io workload".
func parseSA(out []byte, user string) (reading, error) {
	var r reading
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != user {
			continue
		}
		seconds, err := strconv.ParseFloat(f[1], 64)
		if err != nil || f[2] != "cpu" {
			return reading{}, fmt.Errorf("unexpected line %q", line)
		}
		r.cpu += time.Duration(seconds * 1e9)
		r.processes++
	}
	return r, nil
}

// exporter is a process-exporter that groups processes by user and is scraped
// each second.
type exporter struct {
	cmd     *exec.Cmd
	url     string
	version string

	mu    sync.Mutex
	last  map[string]time.Duration
	err   error
	quit  context.CancelFunc
	ended chan struct{}
}

func startExporter(ctx context.Context, dir string) (*exporter, bool, error) {
	path, ok := find("prometheus-process-exporter", "process-exporter")
	if !ok {
		return nil, false, nil
	}
	out, _ := exec.CommandContext(ctx, path, "--version").CombinedOutput()
	config := filepath.Join(dir, "exporter.yml")
	text := "process_names:\n- name: '{{.Username}}'\n  cmdline: ['.*']\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, false, err
	}
	// It takes no port 0: find one that is free.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, false, err
	}
	address := l.Addr().String()
	l.Close()

	e := &exporter{url: "http://" + address + "/metrics", version: string(version.Find(out)), ended: make(chan struct{})}
	e.cmd = exec.Command(path, "-config.path", config, "-web.listen-address", address, "-threads=false", "-gather-smaps=false")
	if err := e.cmd.Start(); err != nil {
		return nil, false, fmt.Errorf("start %s: %w", path, err)
	}
	if err := waitUntil(ctx, 10*time.Second, func() (bool, error) { return e.scrape(ctx) == nil, nil }); err != nil {
		e.cmd.Process.Kill()
		e.cmd.Wait()
		return nil, false, fmt.Errorf("start %s: %w", path, err)
	}
	loop, quit := context.WithCancel(context.WithoutCancel(ctx))
	e.quit = quit
	go func() {
		defer close(e.ended)
		for tick := time.Tick(time.Second); ; {
			select {
			case <-loop.Done():
				return
			case <-tick:
				e.scrape(loop)
			}
		}
	}()
	return e, true, nil
}

func (e *exporter) stop() error {
	e.quit()
	<-e.ended
	e.cmd.Process.Kill()
	e.cmd.Wait()
	return nil
}

func (e *exporter) name() string {
	return strings.TrimSpace("process-exporter "+e.version) + ", 1 s"
}

func (e *exporter) scrape(ctx context.Context) error {
	err := func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var text bytes.Buffer
		if _, err := text.ReadFrom(resp.Body); err != nil {
			return err
		}
		last, err := parseExporter(text.String())
		e.mu.Lock()
		e.last = last
		e.mu.Unlock()
		return err
	}()
	e.mu.Lock()
	e.err = err
	e.mu.Unlock()
	return err
}

// parseExporter returns the CPU time by group of a scrape.
func parseExporter(text string) (map[string]time.Duration, error) {
	cpu := make(map[string]time.Duration)
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, `namedprocess_namegroup_cpu_seconds_total{groupname="`)
		if !ok {
			continue
		}
		group, rest, _ := strings.Cut(rest, `"`)
		_, value, ok := strings.Cut(rest, "} ")
		seconds, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if !ok || err != nil {
			return nil, fmt.Errorf("unexpected line %q", line)
		}
		cpu[group] += time.Duration(seconds * 1e9)
	}
	return cpu, nil
}

// begin scrapes once, so that the process that becomes the workload is known.
func (e *exporter) begin(ctx context.Context, _ string, _ int, _ uint32) error { return e.scrape(ctx) }

func (e *exporter) end(ctx context.Context, _ string, uid uint32) (reading, error) {
	if err := e.scrape(ctx); err != nil {
		return reading{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return reading{cpu: e.last[strconv.Itoa(int(uid))], processes: -1}, e.err
}
