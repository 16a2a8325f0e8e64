// SPDX-License-Identifier: Apache-2.0

// Package chdb runs ClickHouse for tests, as the npm package chdb embeds it: the engine
// itself behind a thin HTTP face, and a proxy in between that makes faults. It is for
// tests alone. test/fleet.sh installs it.
package chdb

import (
	"bufio"
	_ "embed"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"elsa/internal/clickhouse"
	"elsa/internal/kerneltest"
)

//go:embed server.js
var face string

// modules is where test/fleet.sh puts chdb.
func modules() (string, error) {
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "elsa", "chdb", "node_modules"), err
}

// Engine is what tests need that run ClickHouse.
var Engine = kerneltest.Requirement{Name: "ClickHouse (npm chdb, by test/fleet.sh)", Probe: func() error {
	dir, err := modules()
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "chdb"))
	}
	if err == nil {
		_, err = exec.LookPath("node")
	}
	return err
}}

// Server is an engine. It has no tables until [Server.Database] makes some.
type Server struct {
	// Host is where it listens: a host and a port.
	Host           string
	user, password string
	databases      atomic.Uint32
	pid            int
}

// Start starts an engine that lets user in with password, or everybody if user is empty.
// It ends with the test.
func Start(t testing.TB, user, password string) *Server {
	t.Helper()
	kerneltest.Need(t, Engine)
	dir, err := modules()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "server.js")
	if err := os.WriteFile(program, []byte(face), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", program, filepath.Join(t.TempDir(), "data"))
	cmd.Env = append(os.Environ(), "NODE_PATH="+dir, "USER_NAME="+user, "USER_PASSWORD="+password)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe() // with whose end it ends, too
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("start ClickHouse: %v", err)
	}
	return &Server{Host: "127.0.0.1:" + strings.TrimSpace(port), user: user, password: password, pid: cmd.Process.Pid}
}

// Database makes a database with the tables of a fleet, and returns its name.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("elsa%d", s.databases.Add(1))
	text, err := clickhouse.Schema(clickhouse.SchemaOptions{Database: name})
	if err != nil {
		t.Fatal(err)
	}
	s.Run(t, text)
	return name
}

// Run runs statements that end with semicolons, and returns the last answer.
func (s *Server) Run(t testing.TB, text string) (answer string) {
	t.Helper()
	for _, sql := range strings.Split(text, ";\n") {
		if sql = strings.TrimSuffix(strings.TrimSpace(sql), ";"); sql == "" {
			continue
		}
		req, err := http.NewRequest(http.MethodPost, "http://"+s.Host+"/", strings.NewReader(sql))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(s.user, s.password)
		res, err := (&http.Client{Timeout: 10 * time.Minute}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if answer = string(b); res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", sql, answer)
		}
	}
	return answer
}

// Address is that of a database, for a user.
func (s *Server) Address(user, database string) string {
	u := url.URL{Scheme: clickhouse.Scheme, Host: s.Host, Path: "/" + database}
	if user != "" {
		u.User = url.User(user)
	}
	return u.String()
}

// CPU is the CPU time that the engine used so far.
func (s *Server) CPU(t testing.TB) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	var ticks time.Duration
	for _, text := range fields[11:13] { // utime and stime of proc_pid_stat(5), in 1/100 s
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond
}
