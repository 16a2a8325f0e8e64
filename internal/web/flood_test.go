// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestFlood opens five thousand connections at once that send half a request. The
// server holds a bounded number of them, cuts those off, and goes on.
func TestFlood(t *testing.T) {
	const clients = 5000
	s, err := Listen(ServerOptions{Addr: "127.0.0.1:0"}, hello)
	if err != nil {
		t.Fatal(err)
	}
	s.http.ReadHeaderTimeout = 200 * time.Millisecond
	var open, peak atomic.Int64
	watch := s.http.ConnState
	s.http.ConnState = func(c net.Conn, state http.ConnState) {
		watch(c, state)
		switch state {
		case http.StateNew:
			n := open.Add(1)
			for old := peak.Load(); n > old && !peak.CompareAndSwap(old, n); old = peak.Load() {
			}
		case http.StateClosed:
			open.Add(-1)
		}
	}
	run(t, s)
	before := runtime.NumGoroutine()
	var conns []net.Conn
	for range clients {
		c, err := net.DialTimeout("tcp", s.Addr().String(), 10*time.Second)
		if err != nil {
			break // the kernel's queue is full: bounded, too
		}
		io.WriteString(c, "GET / HTTP/1.1\r\nX-")
		conns = append(conns, c)
	}
	if n := runtime.NumGoroutine() - before; n > 2*maxConns+100 {
		t.Errorf("%d goroutines for %d connections", n, len(conns))
	}
	if len(conns) <= maxConns {
		t.Errorf("%d connections were made, want more than the bound of %d", len(conns), maxConns)
	}
	for _, c := range conns {
		c.Close()
	}
	if status, body := get(t, http.DefaultClient, "http://"+s.Addr().String()+"/", "", ""); status != 200 || body != "hello" {
		t.Errorf("after the flood: %d %q", status, body)
	}
	http.DefaultClient.CloseIdleConnections()
	// The server lets the next in just before it tells that one is closed.
	if n := peak.Load(); n > 2*maxConns || n < maxConns/2 {
		t.Errorf("%d connections were open at a time, want about %d", n, maxConns)
	}
}

// What a client does not finish is cut off; what is too large is refused.
func TestSlowAndLarge(t *testing.T) {
	s, err := Listen(ServerOptions{Addr: "127.0.0.1:0"}, hello)
	if err != nil {
		t.Fatal(err)
	}
	if h := s.http; h.ReadHeaderTimeout <= 0 || h.ReadTimeout <= 0 || h.WriteTimeout <= 0 || h.IdleTimeout <= 0 {
		t.Error("a timeout is not set")
	}
	s.http.ReadHeaderTimeout, s.http.ReadTimeout = 20*time.Millisecond, 50*time.Millisecond
	run(t, s)
	for _, sent := range []string{
		"", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\nX-",
		"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
	} {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(c, sent)
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after %q the connection stays open", sent)
		}
	}
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	go io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n"+strings.Repeat("X-Y: "+strings.Repeat("z", 1000)+"\r\n", 100)+"\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	// What the server did not read may make the kernel reset the connection before the
	// answer is read.
	if !errors.Is(err, syscall.ECONNRESET) && (err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge) {
		t.Errorf("100 KB of headers: %v, %v; want 431", resp, err)
	}
}
