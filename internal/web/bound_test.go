// SPDX-License-Identifier: Apache-2.0

package web

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"elsa/internal/outbox"
	"elsa/internal/tally"
)

// TestIdleConnectionsMakeRoom: however many say nothing, who asks is answered.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	var n tally.Shared
	s, err := Listen(ServerOptions{Addr: "127.0.0.1:0", Refused: &n}, hello)
	if err != nil {
		t.Fatal(err)
	}
	run(t, s)
	for i := range 3 * maxConns {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 {
			io.WriteString(c, "GET / HTTP/1.1\r\nX-")
		}
		if i%100 != 0 {
			continue
		}
		client := &http.Client{Timeout: outbox.Whole / 2, Transport: &http.Transport{DisableKeepAlives: true}}
		if status, body := get(t, client, "http://"+s.Addr().String()+"/", "", ""); status != 200 || body != "hello" {
			t.Fatalf("after %d silent connections: %d %q", i, status, body)
		}
	}
	if n.Count(tally.Connections) == 0 {
		t.Error("no connection that made room was counted")
	}
}

// TestSlowReadersDoNotStarveScrapes: those who ask for large pages and do not read
// them hold up nobody.
func TestSlowReadersDoNotStarveScrapes(t *testing.T) {
	large := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(strings.Repeat("x", 10<<20)))
	})
	var n tally.Shared
	s, err := Listen(ServerOptions{Addr: "127.0.0.1:0"}, Routes(large, hello, func() error { return nil }, &n))
	if err != nil {
		t.Fatal(err)
	}
	run(t, s)
	for i := range 10 { // more than there is room for
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
		// Long for a busy machine, and less than the slow ones may take at most.
		client := &http.Client{Timeout: outbox.Whole / 2, Transport: &http.Transport{DisableKeepAlives: true}}
		if status, body := get(t, client, "http://"+s.Addr().String()+"/metrics", "", ""); status != 200 || len(body) != 10<<20 {
			t.Fatalf("behind %d readers that are slow: %d, %d bytes", i, status, len(body))
		}
	}
	if n.Count(tally.Answers) == 0 {
		t.Error("no answer that was given up was counted")
	}
}

// TestHosts: names of other sites are refused where only this machine can ask, or
// where names were given.
func TestHosts(t *testing.T) {
	loopback, outside := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, &net.TCPAddr{IP: net.IPv4zero}
	for _, tt := range []struct {
		addr    net.Addr
		allowed []string
		host    string
		want    bool
	}{
		{loopback, nil, "localhost:9943", true},
		{loopback, nil, "LOCALHOST.", true},
		{loopback, nil, "127.0.0.1:9943", true},
		{loopback, nil, "127.9.9.9", true},
		{loopback, nil, "[::1]:9943", true},
		{loopback, nil, "", true},
		{loopback, nil, "evil.example", false},
		{loopback, nil, "localhost.evil.example:9943", false},
		{loopback, nil, "10.0.0.1", false},
		{loopback, []string{"Acct.Example"}, "acct.example:80", true},
		{loopback, []string{"acct.example"}, "evil.example", false},
		{outside, nil, "node7.example:9943", true},
		{outside, []string{"node7.example"}, "node7.example:9943", true},
		{outside, []string{"node7.example"}, "evil.example", false},
		{outside, []string{"node7.example"}, "10.0.0.1:9943", true},
		{outside, []string{"node7.example"}, "localhost", true},
	} {
		var n tally.Shared
		r := httptest.NewRequest("GET", "http://x/", nil)
		r.Host = tt.host
		w := httptest.NewRecorder()
		newHosts(tt.addr, tt.allowed, &n).check(hello).ServeHTTP(w, r)
		if ok := w.Code == 200; ok != tt.want || (n.Count(tally.Hosts) == 0) != tt.want {
			t.Errorf("host %q at %v, allowed %v: status %d, want answered %v", tt.host, tt.addr, tt.allowed, w.Code, tt.want)
		}
	}
}
