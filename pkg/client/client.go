// SPDX-License-Identifier: Apache-2.0

// Package client asks elsad over its control socket: the types of the JSON that
// the service speaks, and a [Client]. elsactl is built on it. It depends on the
// standard library alone. pkg/api/openapi.yaml describes the same for those who
// ask in another language.
//
// Every JSON name is stable: fields are added, never renamed. Units are base
// units, seconds and bytes; times are RFC 3339 in UTC.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"time"
)

// DefaultSocket is where the service listens and the client looks unless told
// otherwise.
const DefaultSocket = "/run/elsa/elsad.sock"

// Client asks the service behind a control socket. An error of the service is
// an [*Error]; when the service cannot be reached it is an [*UnreachableError].
// A client is safe for concurrent use and keeps connections for reuse.
type Client struct {
	socket string
	http   http.Client
}

// UnreachableError says that nobody answers at a control socket.
type UnreachableError struct {
	Socket string
	Err    error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("cannot reach elsad at %s: %v: is it running? (systemctl start elsad, or --socket)", e.Socket, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// maxProblem bounds what is read of a refusal.
const maxProblem = 1 << 20

// answerTimeout bounds a call: longer than any the service makes.
const answerTimeout = time.Minute

// New returns a client of the socket. It does not connect yet.
func New(socket string) *Client {
	c := &Client{socket: socket}
	c.http.Timeout = answerTimeout
	c.http.Transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
			if err != nil {
				// The cause alone: path and operation are in the message already.
				cause := err
				var op *net.OpError
				if errors.As(err, &op) {
					cause = op.Err
				}
				return nil, &UnreachableError{Socket: socket, Err: cause}
			}
			return conn, nil
		},
		DisableCompression: true,
		IdleConnTimeout:    30 * time.Second,
	}
	return c
}

// Close drops the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// CreateGroup makes a group.
func (c *Client) CreateGroup(ctx context.Context, r CreateGroupRequest) (g Group, err error) {
	err = c.do(ctx, "POST", "/v1/groups", r, &g)
	return g, err
}

// Groups lists all groups in order of their name.
func (c *Client) Groups(ctx context.Context) (gs []Group, err error) {
	err = c.do(ctx, "GET", "/v1/groups", nil, &gs)
	return gs, err
}

// Group describes one group and its live members.
func (c *Client) Group(ctx context.Context, name string) (d GroupDetail, err error) {
	err = c.do(ctx, "GET", groupPath(name), nil, &d)
	return d, err
}

// Ungrouped lists the live processes that are in no group: all of them, or, for who is
// no admin, the caller's own.
func (c *Client) Ungrouped(ctx context.Context) (u Ungrouped, err error) {
	err = c.do(ctx, "GET", "/v1/ungrouped", nil, &u)
	return u, err
}

// AddMembers puts running processes in a group: all of them or none.
func (c *Client) AddMembers(ctx context.Context, name string, r AddRequest) (a AddResult, err error) {
	err = c.do(ctx, "POST", groupPath(name)+"/members", r, &a)
	return a, err
}

// Join puts the calling process itself in a group, from whatever pid namespace.
func (c *Client) Join(ctx context.Context, r JoinRequest) (j JoinResult, err error) {
	err = c.do(ctx, "POST", "/v1/join", r, &j)
	return j, err
}

// RemoveMembers takes running processes out of a group.
func (c *Client) RemoveMembers(ctx context.Context, name string, r RemoveRequest) (a RemoveResult, err error) {
	err = c.do(ctx, "POST", groupPath(name)+"/members/remove", r, &a)
	return a, err
}

// CloseGroup ends adding to a group by hand.
func (c *Client) CloseGroup(ctx context.Context, name string) (g Group, err error) {
	err = c.do(ctx, "POST", groupPath(name)+"/close", nil, &g)
	return g, err
}

// DeleteGroup removes a group and its bill.
func (c *Client) DeleteGroup(ctx context.Context, name string) error {
	return c.do(ctx, "DELETE", groupPath(name), nil, nil)
}

// Usage reports on the bills of groups.
func (c *Client) Usage(ctx context.Context, r UsageQuery) (u UsageReport, err error) {
	q := url.Values{"group": r.Groups}
	for key, on := range map[string]bool{"mine": r.Mine, "wait": r.Wait} {
		if on {
			q.Set(key, "true")
		}
	}
	err = c.do(ctx, "GET", withQuery("/v1/usage", q), nil, &u)
	return u, err
}

// Report adds up what processes used over a time.
func (c *Client) Report(ctx context.Context, r ReportQuery) (out Report, err error) {
	q := url.Values{"group": r.Groups}
	if r.By != "" {
		q.Set("by", r.By)
	}
	for key, t := range map[string]time.Time{"since": r.Since, "until": r.Until} {
		if !t.IsZero() {
			q.Set(key, t.UTC().Format(time.RFC3339))
		}
	}
	for key, on := range map[string]bool{"mine": r.Mine, "wait": r.Wait} {
		if on {
			q.Set(key, "true")
		}
	}
	err = c.do(ctx, "GET", withQuery("/v1/report", q), nil, &out)
	return out, err
}

// Explain says why a process is in its groups.
func (c *Client) Explain(ctx context.Context, pid int) (e Explanation, err error) {
	err = c.do(ctx, "GET", fmt.Sprint("/v1/explain?pid=", pid), nil, &e)
	return e, err
}

// TryRules says what the rules would do with a process.
func (c *Client) TryRules(ctx context.Context, pid int) (t RulesTrial, err error) {
	err = c.do(ctx, "GET", fmt.Sprint("/v1/rules/try?pid=", pid), nil, &t)
	return t, err
}

// Status reports on the service itself.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	err = c.do(ctx, "GET", "/v1/status", nil, &s)
	return s, err
}

// Backup writes a consistent copy of the service's database to w, and returns
// its size in bytes. After an error what was written is of no use. It takes as
// long as it needs.
func (c *Client) Backup(ctx context.Context, w io.Writer) (int64, error) {
	unbounded := http.Client{Transport: c.http.Transport}
	resp, err := c.send(ctx, &unbounded, "GET", "/v1/backup", nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(w, resp.Body)
	if err != nil {
		return n, fmt.Errorf("read answer of elsad at %s: %w", c.socket, err)
	}
	return n, nil
}

// withQuery appends a query to a path, if it says anything.
func withQuery(path string, q url.Values) string {
	if enc := q.Encode(); enc != "" {
		path += "?" + enc
	}
	return path
}

func groupPath(name string) string { return "/v1/groups/" + url.PathEscape(name) }

// do sends in, if not nil, and decodes the answer into out, if not nil.
func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.send(ctx, &c.http, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("read answer of elsad at %s: %w", c.socket, err)
	}
	return nil
}

// send sends in, if not nil. The answer is a success; its body must be closed.
func (c *Client) send(ctx context.Context, by *http.Client, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	// The host part has no meaning on a unix socket, but HTTP wants one.
	req, err := http.NewRequestWithContext(ctx, method, "http://elsad"+path, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := by.Do(req)
	if err != nil {
		var unreachable *UnreachableError
		if errors.As(err, &unreachable) {
			return nil, unreachable
		}
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, fmt.Errorf("ask elsad at %s: %w", c.socket, err)
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		return nil, problem(resp)
	}
	return resp, nil
}

// problem makes an [Error] of an answer that is not a success, whoever it is
// from.
func problem(resp *http.Response) *Error {
	e := &Error{}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	mt, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if mt != "application/problem+json" || json.Unmarshal(b, e) != nil || e.Title == "" {
		e = &Error{Title: http.StatusText(resp.StatusCode), Detail: fmt.Sprintf("unexpected answer %.100q", resp.Status)}
	}
	e.Status = resp.StatusCode
	return e
}
