// SPDX-License-Identifier: Apache-2.0

//go:build vm

package suite

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"elsa/internal/kerneltest"

	"golang.org/x/sys/unix"
)

// service is an elsad of the test's own.
type service struct {
	t       testing.TB
	socket  string
	address string // of HTTP
}

var readyLine = regexp.MustCompile(`msg=ready address=(\S+) .*\bevents=(\S+)`)

// startService starts /bin/elsad and waits until it is ready. It fails the
// test unless that says it reads events from want.
func startService(t testing.TB, source, want string) *service {
	t.Helper()
	dir := t.TempDir()
	s := &service{t: t, socket: filepath.Join(dir, "elsad.sock")}
	cmd := exec.Command("/bin/elsad", "--source", source, "--state-dir", filepath.Join(dir, "state"),
		"--socket", s.socket, "--web.listen-address", "127.0.0.1:0")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	ready, ended := make(chan []string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintln(&log, lines.Text())
			if m := readyLine.FindStringSubmatch(lines.Text()); m != nil {
				ready <- m
			}
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Signal(unix.SIGTERM)
		kill := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
		defer kill.Stop()
		<-ended
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("elsad: %v\n%s", err, &log)
		}
	})
	select {
	case m := <-ready:
		if s.address = m[1]; m[2] != want {
			t.Fatalf("events come from %s, want %s", m[2], want)
		}
	case <-ended:
		t.Fatal("elsad ended before it was ready")
	case <-time.After(30 * time.Second):
		t.Fatal("elsad is not ready after 30 s")
	}
	return s
}

// ctl runs elsactl and returns what it prints.
func (s *service) ctl(args ...string) []byte {
	s.t.Helper()
	return s.ctlIn(nil, args...)
}

// ctlIn is ctl in a control group.
func (s *service) ctlIn(g *cgroup, args ...string) []byte {
	s.t.Helper()
	var stderr strings.Builder
	cmd := exec.Command("/bin/elsactl", append([]string{"--socket", s.socket}, args...)...)
	cmd.Stderr = &stderr
	if g != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(g.Fd())}
	}
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("elsactl %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return out
}

// bill is the part of a group's usage that is compared here.
type bill struct {
	Started int     `json:"processes_started"`
	Ended   int     `json:"processes_ended"`
	Live    int     `json:"processes_live"`
	CPU     float64 `json:"cpu_seconds"`
}

// bill returns a group's bill once everything that has died is counted.
func (s *service) bill(group string) bill {
	s.t.Helper()
	var reply struct {
		Groups []struct {
			Name  string `json:"name"`
			Usage bill   `json:"usage"`
		} `json:"groups"`
	}
	// An emulated disk may take seconds for a commit; readers get the one before then.
	kerneltest.Eventually(s.t, "all is saved", func() bool {
		var status struct {
			Unsaved string `json:"unsaved_since"`
		}
		out := s.ctl("status", "-o", "json")
		if err := json.Unmarshal(out, &status); err != nil {
			s.t.Fatalf("status: %v\n%s", err, out)
		}
		return status.Unsaved == ""
	})
	out := s.ctl("usage", group, "--wait", "-o", "json")
	if err := json.Unmarshal(out, &reply); err != nil || len(reply.Groups) != 1 || reply.Groups[0].Name != group {
		s.t.Fatalf("usage of %s: %v\n%s", group, err, out)
	}
	return reply.Groups[0].Usage
}

// metric returns the value of one series of a scrape.
func (s *service) metric(series string) float64 {
	s.t.Helper()
	reply, err := http.Get("http://" + s.address + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer reply.Body.Close()
	page, err := io.ReadAll(reply.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(page)) {
		if text, ok := strings.CutPrefix(line, series+" "); ok {
			var v float64
			if _, err := fmt.Sscan(text, &v); err != nil {
				s.t.Fatalf("%s: %v", line, err)
			}
			return v
		}
	}
	s.t.Fatalf("no series %s in the scrape:\n%s", series, page)
	return 0
}
