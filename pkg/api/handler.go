// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"

	"elsa/pkg/groups"
)

// route is one operation of the service. Its run returns the HTTP status and
// the body to send, nil for none.
type route struct {
	method, path string
	run          func(s Service, c Caller, r *http.Request) (int, any, error)
}

// routes is every operation; openapi.yaml describes the same list.
var routes = []route{
	{"GET", "/v1/groups", listGroups},
	{"POST", "/v1/groups", createGroup},
	{"GET", "/v1/groups/{name}", showGroup},
	{"DELETE", "/v1/groups/{name}", deleteGroup},
	{"POST", "/v1/groups/{name}/members", addMembers},
	{"POST", "/v1/groups/{name}/members/remove", removeMembers},
	{"POST", "/v1/groups/{name}/close", closeGroup},
	{"GET", "/v1/usage", usageReport},
	{"GET", "/v1/status", status},
}

func listGroups(s Service, c Caller, r *http.Request) (int, any, error) {
	gs, err := s.Groups(r.Context(), c)
	if gs == nil {
		gs = []Group{}
	}
	return http.StatusOK, gs, err
}

func createGroup(s Service, c Caller, r *http.Request) (int, any, error) {
	var q CreateGroupRequest
	if err := readJSON(r, &q); err != nil {
		return 0, nil, err
	}
	g, err := s.CreateGroup(r.Context(), c, q)
	return http.StatusCreated, g, err
}

func showGroup(s Service, c Caller, r *http.Request) (int, any, error) {
	name, err := groupName(r)
	if err != nil {
		return 0, nil, err
	}
	d, err := s.Group(r.Context(), c, name)
	if d.Members == nil {
		d.Members = []Member{}
	}
	return http.StatusOK, d, err
}

func deleteGroup(s Service, c Caller, r *http.Request) (int, any, error) {
	name, err := groupName(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.DeleteGroup(r.Context(), c, name)
}

func addMembers(s Service, c Caller, r *http.Request) (int, any, error) {
	name, err := groupName(r)
	if err != nil {
		return 0, nil, err
	}
	var q AddRequest
	if err := readJSON(r, &q); err != nil {
		return 0, nil, err
	}
	a, err := s.AddMembers(r.Context(), c, name, q)
	if a.Added == nil {
		a.Added = []int{}
	}
	return http.StatusOK, a, err
}

func removeMembers(s Service, c Caller, r *http.Request) (int, any, error) {
	name, err := groupName(r)
	if err != nil {
		return 0, nil, err
	}
	var q RemoveRequest
	if err := readJSON(r, &q); err != nil {
		return 0, nil, err
	}
	a, err := s.RemoveMembers(r.Context(), c, name, q)
	if a.Removed == nil {
		a.Removed = []int{}
	}
	return http.StatusOK, a, err
}

func closeGroup(s Service, c Caller, r *http.Request) (int, any, error) {
	name, err := groupName(r)
	if err != nil {
		return 0, nil, err
	}
	if r.ContentLength != 0 { // There is nothing to say, but {} is harmless.
		if err := readJSON(r, &nothing{}); err != nil {
			return 0, nil, err
		}
	}
	g, err := s.CloseGroup(r.Context(), c, name)
	return http.StatusOK, g, err
}

func usageReport(s Service, c Caller, r *http.Request) (int, any, error) {
	names, wait, err := usageQuery(r)
	if err != nil {
		return 0, nil, err
	}
	u, err := s.Usage(r.Context(), c, names, wait)
	return http.StatusOK, u, err
}

func status(s Service, c Caller, r *http.Request) (int, any, error) {
	st, err := s.Status(r.Context(), c)
	return http.StatusOK, st, err
}

// groupName is the name in the path, unescaped.
func groupName(r *http.Request) (string, error) {
	name := r.PathValue("name")
	if err := groups.CheckName(name); err != nil {
		return "", BadRequest("%v", err)
	}
	return name, nil
}

func usageQuery(r *http.Request) (names []string, wait bool, err error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, false, BadRequest("bad query: %v", err)
	}
	for key, values := range q {
		switch key {
		case "group":
			for _, name := range values {
				if err := groups.CheckName(name); err != nil {
					return nil, false, BadRequest("%v", err)
				}
			}
			names = values
		case "wait":
			if wait, err = strconv.ParseBool(values[len(values)-1]); err != nil {
				return nil, false, BadRequest("bad query: wait is %.20q; use true or false", values[len(values)-1])
			}
		default:
			return nil, false, BadRequest("bad query: %.40q is unknown; use group=NAME and wait=true", key)
		}
	}
	return names, wait, nil
}

type callerKey struct{}

// withCaller returns a context that carries who asks.
func withCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// handler serves the routes for a service.
type handler struct {
	service Service
	log     *slog.Logger
	mux     http.ServeMux
}

// newHandler serves the API. Each request's context must come from
// withCaller: a request without is nobody's, and may do nothing that needs a
// uid, since uid 2^32-1 owns nothing.
func newHandler(s Service, log *slog.Logger) http.Handler {
	h := &handler{service: s, log: log}
	allow := map[string][]string{}
	for _, rt := range routes {
		allow[rt.path] = append(allow[rt.path], rt.method)
		h.mux.HandleFunc(rt.method+" "+rt.path, func(w http.ResponseWriter, r *http.Request) {
			status, body, err := rt.run(s, callerOf(r), r)
			if err != nil {
				h.fail(w, r, err)
				return
			}
			h.send(w, r, status, "application/json", body)
		})
	}
	for path, methods := range allow {
		list := strings.Join(methods, ", ")
		h.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", list)
			h.fail(w, r, newError(http.StatusMethodNotAllowed, "%.20q is not allowed here; use %s", []any{r.Method, list}))
		})
	}
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.fail(w, r, NotFound("nothing is at %.200q; the interface is under /v1/groups, /v1/usage and /v1/status", r.URL.EscapedPath()))
	})
	return h
}

func callerOf(r *http.Request) Caller {
	if c, ok := r.Context().Value(callerKey{}).(Caller); ok {
		return c
	}
	return Caller{UID: ^uint32(0), GID: ^uint32(0)}
}

// ServeHTTP answers one request. A panic ends that request alone.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			h.log.Error("request panicked", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			h.fail(w, r, &Error{Status: http.StatusInternalServerError, Title: "Internal Server Error", Detail: "internal error; the service's log has it"})
		}
	}()
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	h.mux.ServeHTTP(w, r)
}

// fail sends err as a problem, and logs it if it is not the caller's doing.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	var e *Error
	if !errors.As(err, &e) {
		if r.Context().Err() != nil {
			e = Unavailable("the request was given up")
		} else {
			h.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "err", err)
			e = newError(http.StatusInternalServerError, "internal error; the service's log has it", nil)
		}
	}
	h.send(w, r, e.Status, "application/problem+json", e)
}

// send writes the whole answer at once, so that an error in making it can
// still become a proper one.
func (h *handler) send(w http.ResponseWriter, r *http.Request, status int, contentType string, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		h.log.Error("encode answer", "method", r.Method, "path", r.URL.Path, "err", err)
		http.Error(w, `{"status":500,"title":"Internal Server Error"}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	w.Write(b.Bytes()) // The caller may be gone; nothing to do about it.
}
