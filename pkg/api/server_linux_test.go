// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/client"
)

// Every call of the client reaches the service and its answer comes back.
func TestRoundTrip(t *testing.T) {
	f := newFake()
	socket, _ := serve(t, f)
	c := client.New(socket)
	defer c.Close()
	ctx := t.Context()

	gs, err := c.Groups(ctx)
	if err != nil || gs == nil || len(gs) != 0 {
		t.Fatalf("groups of an empty service: %#v, %v; want an empty list", gs, err)
	}
	// Names that a path would swallow, split or unescape.
	names := []string{"ci", ".", "..", "a/b", "/", "//x", "user@host:1", "../v1/status"}
	for _, name := range names {
		g, err := c.CreateGroup(ctx, CreateGroupRequest{Name: name, Labels: map[string]string{"team": "ü x"}})
		if err != nil {
			t.Fatalf("create %q: %v", name, err)
		}
		if g.Name != name || g.Labels["team"] != "ü x" || g.Owner != uint32(os.Getuid()) || !g.Created.Equal(fakeTime) {
			t.Errorf("create %q: got %+v", name, g)
		}
		a, err := c.AddMembers(ctx, name, AddRequest{PIDs: []int{1, 2, 3}})
		if diff := cmp.Diff(AddResult{Added: []int{1, 2, 3}}, a); diff != "" || err != nil {
			t.Errorf("add to %q: %v (-want +got):\n%s", name, err, diff)
		}
		r, err := c.RemoveMembers(ctx, name, RemoveRequest{PIDs: []int{2, 9}})
		if diff := cmp.Diff(RemoveResult{Removed: []int{2}}, r); diff != "" || err != nil {
			t.Errorf("remove from %q: %v (-want +got):\n%s", name, err, diff)
		}
		g, err = c.CloseGroup(ctx, name)
		if err != nil || g.State != "closed" || g.Closed.IsZero() {
			t.Errorf("close %q: %+v, %v", name, g, err)
		}
		d, err := c.Group(ctx, name)
		if err != nil || d.Name != name || len(d.Members) != 2 || d.Members[1].PID != 3 {
			t.Errorf("group %q: %+v, %v", name, d, err)
		}
	}
	if gs, err = c.Groups(ctx); err != nil || len(gs) != len(names) {
		t.Errorf("groups: %d, %v; want %d", len(gs), err, len(names))
	}
	for _, name := range names {
		if err := c.DeleteGroup(ctx, name); err != nil {
			t.Errorf("delete %q: %v", name, err)
		}
	}
	want := snapshot()
	wantUsage, _ := FromSnapshot(&want, []string{"a/b:c@d"}, nil)
	u, err := c.Usage(ctx, client.UsageQuery{Groups: []string{"a/b:c@d"}, Wait: true})
	if diff := cmp.Diff(wantUsage, u); diff != "" || err != nil {
		t.Errorf("usage: %v (-want +got):\n%s", err, diff)
	}
	if !f.wait || !cmp.Equal(f.names, []string{"a/b:c@d"}) {
		t.Errorf("usage reached the service as %q, wait %v", f.names, f.wait)
	}
	if _, err := c.Usage(ctx, client.UsageQuery{}); err != nil || f.wait || len(f.names) != 0 {
		t.Errorf("usage of all reached the service as %q, wait %v: %v", f.names, f.wait, err)
	}
	st, err := c.Status(ctx)
	if diff := cmp.Diff(StatusFromSnapshot(&want, "1.2.3"), st); diff != "" || err != nil {
		t.Errorf("status: %v (-want +got):\n%s", err, diff)
	}
}

// Refusals carry the status and the sentence of the service.
func TestServiceErrors(t *testing.T) {
	socket, log := serve(t, newFake())
	c := client.New(socket)
	defer c.Close()
	create := func(name string) error {
		_, err := c.CreateGroup(t.Context(), CreateGroupRequest{Name: name})
		return err
	}
	if err := create("twice"); err != nil {
		t.Fatal(err)
	}
	_, missing := c.Group(t.Context(), "nix")
	for _, tc := range []struct {
		name string
		err  error
		want Error
	}{
		{"exists", create("twice"), Error{Status: 409, Title: "Conflict", Detail: "group twice exists"}},
		{"missing", missing, Error{Status: 404, Title: "Not Found", Detail: "no group is named nix"}},
		{"bad name", create("a b"), Error{Status: 400, Title: "Bad Request", Detail: `bad group name "a b": ' ' is not allowed; use letters, digits, . _ - / : @`}},
		{"fault", create("fault"), Error{Status: 500, Title: "Internal Server Error", Detail: "internal error; the service's log has it"}},
		{"panic", create("panic"), Error{Status: 500, Title: "Internal Server Error", Detail: "internal error; the service's log has it"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var e *Error
			if !errors.As(tc.err, &e) {
				t.Fatalf("got %v, want an *Error", tc.err)
			}
			if diff := cmp.Diff(tc.want, *e); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, want := range []string{"the inner secret", "told to"} {
		if n := strings.Count(log.String(), want); n != 1 {
			t.Errorf("the log names %q %d times, want once:\n%s", want, n, log)
		}
	}
	if err := create("after-the-panic"); err != nil {
		t.Errorf("the service did not survive: %v", err)
	}
}

// What a client other than ours may send.
func TestRawRequests(t *testing.T) {
	socket, _ := serve(t, newFake())
	hc := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	defer hc.CloseIdleConnections()
	big := `{"name":"` + strings.Repeat("x", maxBody) + `"}`
	manyLabels, _ := json.Marshal(map[string]any{"name": "a", "labels": func() map[string]string {
		m := map[string]string{}
		for i := range maxLabels + 1 {
			m[strings.Repeat("k", i+1)] = ""
		}
		return m
	}()})
	for _, tc := range []struct {
		method, path, body string
		status             int
		detail             string // a part of it
		allow              string
	}{
		{method: "GET", path: "/", status: 404, detail: `nothing is at "/"`},
		{method: "GET", path: "/v1/groups/", status: 400, detail: "it is empty"},
		{method: "GET", path: "/v1//groups", status: 404},
		{method: "GET", path: "/v1/x/../groups", status: 404},
		{method: "GET", path: "/v2/groups", status: 404},
		{method: "GET", path: "/v1/groups/a/members", status: 405, allow: "POST"},
		{method: "PUT", path: "/v1/groups", body: "{}", status: 405, allow: "GET, POST", detail: `"PUT" is not allowed here; use GET, POST`},
		{method: "PATCH", path: "/v1/groups/a", status: 405, allow: "GET, DELETE"},
		{method: "GET", path: "/v1/groups/a/close", status: 405, allow: "POST"},
		{method: "DELETE", path: "/v1/usage", status: 405, allow: "GET"},
		{method: "POST", path: "/v1/status", status: 405, allow: "GET"},
		{method: "HEAD", path: "/v1/status", status: 200},
		{method: "GET", path: "/v1/groups/a%20b", status: 400, detail: "bad group name"},
		{method: "GET", path: "/v1/groups/" + strings.Repeat("x", 129), status: 400, detail: "129 characters"},
		{method: "GET", path: "/v1/groups/%ff", status: 400, detail: "bad group name"},
		{method: "GET", path: "/v1/groups/a%00", status: 400, detail: "bad group name"},

		{method: "POST", path: "/v1/groups", status: 400, detail: "the body is empty"},
		{method: "POST", path: "/v1/groups", body: "{", status: 400, detail: "bad JSON: unexpected EOF"},
		{method: "POST", path: "/v1/groups", body: "nonsense", status: 400, detail: "bad JSON: invalid character 'o'"},
		{method: "POST", path: "/v1/groups", body: "[]", status: 400, detail: "cannot unmarshal array"},
		{method: "POST", path: "/v1/groups", body: `{"name":"x","temporary":1}`, status: 400, detail: "temporary is a JSON number; it must be of type bool"},
		{method: "POST", path: "/v1/groups", body: "null", status: 400, detail: "bad group name"},
		{method: "POST", path: "/v1/groups", body: `{"name":7}`, status: 400, detail: "name"},
		{method: "POST", path: "/v1/groups", body: `{"name":"a","color":"red"}`, status: 400, detail: `unknown field "color"`},
		{method: "POST", path: "/v1/groups", body: `{"name":"a"}{"name":"b"}`, status: 400, detail: "more follows"},
		{method: "POST", path: "/v1/groups", body: `{"name":"a"} x`, status: 400, detail: "bad JSON"},
		{method: "POST", path: "/v1/groups", body: strings.Repeat("[", 20000), status: 400, detail: "bad JSON"},
		{method: "POST", path: "/v1/groups", body: big, status: 413, detail: "larger than 1048576 bytes"},
		{method: "POST", path: "/v1/groups", body: `{"name":"a","labels":{"":"v"}}`, status: 400, detail: "use 1-128"},
		{method: "POST", path: "/v1/groups", body: `{"name":"a","labels":{"a=b":"v"}}`, status: 400, detail: "may not hold ="},
		{method: "POST", path: "/v1/groups", body: `{"name":"a","labels":{"k":"\u001b[2J"}}`, status: 400, detail: "control characters"},
		{method: "POST", path: "/v1/groups", body: `{"name":"a","labels":{"k":"` + strings.Repeat("v", 1025) + `"}}`, status: 400, detail: "1025 bytes"},
		{method: "POST", path: "/v1/groups", body: string(manyLabels), status: 400, detail: "65 of them"},
		{method: "POST", path: "/v1/groups", body: `{"name":"made","labels":{"k":"ü"}}`, status: 201},

		{method: "POST", path: "/v1/groups/made/members", body: `{}`, status: 400, detail: "at least one"},
		{method: "POST", path: "/v1/groups/made/members", body: `{"pids":[1,0]}`, status: 400, detail: "bad pid 0"},
		{method: "POST", path: "/v1/groups/made/members", body: `{"pids":[-1]}`, status: 400, detail: "bad pid -1"},
		{method: "POST", path: "/v1/groups/made/members", body: `{"pids":[2147483648]}`, status: 400, detail: "bad pid"},
		{method: "POST", path: "/v1/groups/made/members", body: `{"pids":[1e99]}`, status: 400, detail: "pids"},
		{method: "POST", path: "/v1/groups/made/members", body: `{"pids":[1.5]}`, status: 400, detail: "pids"},
		{method: "POST", path: "/v1/groups/made/members/remove", body: `{"pids":[1],"whole_life":true}`, status: 400, detail: "whole_life"},
		{method: "POST", path: "/v1/groups/made/close", body: `{"force":true}`, status: 400, detail: "force"},
		{method: "POST", path: "/v1/groups/made/close", body: `{}`, status: 200},
		{method: "POST", path: "/v1/groups/made/close", status: 200},

		{method: "GET", path: "/v1/usage?grup=a", status: 400, detail: `"grup" is unknown`},
		{method: "GET", path: "/v1/usage?wait=maybe", status: 400, detail: `wait is "maybe"`},
		{method: "GET", path: "/v1/usage?group=", status: 400, detail: "it is empty"},
		{method: "GET", path: "/v1/usage?group=%zz", status: 400, detail: "bad query"},
		{method: "GET", path: "/v1/usage?group=nix", status: 404, detail: "no group is named nix"},
		{method: "GET", path: "/v1/usage?wait=1&group=ci&group=ci", status: 200},
		{method: "DELETE", path: "/v1/groups/made", status: 204},
	} {
		name := tc.method + " " + tc.path
		t.Run(name[:min(len(name), 60)], func(t *testing.T) {
			req, err := http.NewRequest(tc.method, "http://elsad"+tc.path, strings.NewReader(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := hc.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tc.status {
				t.Fatalf("status %d, want %d: %s", resp.StatusCode, tc.status, body)
			}
			if got := resp.Header.Get("Allow"); got != tc.allow {
				t.Errorf("Allow %q, want %q", got, tc.allow)
			}
			if tc.status < 300 {
				return
			}
			if ct := resp.Header.Get("Content-Type"); ct != "application/problem+json" {
				t.Errorf("Content-Type %q: %s", ct, body)
			}
			var e Error
			if err := json.Unmarshal(body, &e); err != nil || e.Status != tc.status || e.Title != http.StatusText(tc.status) {
				t.Errorf("problem %s: %v", body, err)
			}
			if !strings.Contains(e.Detail, tc.detail) || e.Detail == "" {
				t.Errorf("detail %q, want it to hold %q", e.Detail, tc.detail)
			}
		})
	}
}

// Headers without end are refused, also very many small ones.
func TestHeaderFlood(t *testing.T) {
	socket, _ := serve(t, newFake())
	for _, header := range []string{"X-Y: " + strings.Repeat("z", 64<<10) + "\r\n", strings.Repeat("A: b\r\n", 64<<10)} {
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		go io.WriteString(c, "GET /v1/groups HTTP/1.1\r\nHost: x\r\n"+header+"\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("headers of %d bytes: %v, %v; want 431", len(header), resp, err)
		}
	}
}

// A client that stalls in its headers is cut off.
func TestSlowClient(t *testing.T) {
	srv := newServer(newFake(), nil, slog.New(slog.DiscardHandler))
	if srv.ReadHeaderTimeout <= 0 || srv.ReadTimeout <= 0 || srv.WriteTimeout <= 0 || srv.IdleTimeout <= 0 {
		t.Error("a timeout is not set")
	}
	srv.ReadHeaderTimeout, srv.ReadTimeout = 20*time.Millisecond, 50*time.Millisecond
	socket := filepath.Join(t.TempDir(), "s")
	l, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	for _, sent := range []string{
		"", "GET /v1/gro", "GET /v1/groups HTTP/1.1\r\nHost: x\r\nX-",
		"POST /v1/groups HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
	} {
		c, err := net.Dial("unix", socket)
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
}

// A caller that hangs up ends its request, which is not an error of ours.
func TestHangUp(t *testing.T) {
	var log *logLines
	t.Cleanup(func() { // runs after the server's end, when all is said
		if s := log.String(); s != "" {
			t.Errorf("logged: %s", s)
		}
	})
	f := newFake()
	socket, l := serve(t, f)
	log = l
	ctx, cancel := context.WithCancel(t.Context())
	c := client.New(socket)
	defer c.Close()
	go func() { <-f.entered; cancel() }()
	_, err := c.CreateGroup(ctx, CreateGroupRequest{Name: "wait-for-hangup"})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
	// The fake holds its lock until the hang-up reached it.
	if _, err := c.Groups(t.Context()); err != nil {
		t.Error(err)
	}
}

// slow is a service whose status takes until it is let go.
type slow struct {
	*fake
	entered, release chan struct{}
}

func (s *slow) Status(context.Context, Caller) (Status, error) {
	close(s.entered)
	<-s.release
	return Status{Version: "late"}, nil
}

// A request under way when the service stops is answered.
func TestServeDrains(t *testing.T) {
	s := &slow{newFake(), make(chan struct{}), make(chan struct{})}
	socket := filepath.Join(t.TempDir(), "s")
	l, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, s, slog.New(slog.DiscardHandler)) }()
	c := client.New(socket)
	defer c.Close()
	answer := make(chan error, 1)
	go func() {
		st, err := c.Status(t.Context())
		if err == nil && st.Version != "late" {
			err = errors.New("wrong answer")
		}
		answer <- err
	}()
	<-s.entered
	cancel()
	// New callers are refused while the old one is still served.
	for {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			break
		}
		conn.Close()
	}
	close(s.release)
	if err := <-answer; err != nil {
		t.Errorf("request under way: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("serve: %v", err)
	}
	if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

// A backup arrives whole or with an error, and only those who may get one.
func TestBackup(t *testing.T) {
	f := newFake()
	socket, log := serve(t, f)
	c := client.New(socket)
	defer c.Close()
	var e *Error
	if _, err := c.Backup(t.Context(), io.Discard); !errors.As(err, &e) || e.Status != 503 || e.Detail != "the disk is full" {
		t.Errorf("without room: %v", err)
	}
	want := strings.Repeat("0123456789abcdef", 200_000)
	f.backup = filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(f.backup, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	if n, err := c.Backup(t.Context(), &got); err != nil || n != int64(len(want)) || got.String() != want {
		t.Errorf("%d of %d bytes arrived: %v", n, len(want), err)
	}
	f.backup = "/sys/kernel/uevent_seqnum" // shorter than its size says
	if n, err := c.Backup(t.Context(), io.Discard); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("of a file cut short %d bytes arrived: %v", n, err)
	}
	if !strings.Contains(log.String(), "file was not sent whole") {
		t.Errorf("the log does not tell:\n%s", log)
	}
	if err := (Caller{UID: 1000}).MayBackup(); !errors.As(err, &e) || e.Status != 403 {
		t.Errorf("any user may take a backup: %v", err)
	}
}
