// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"time"
)

type callerKey struct{}

// withCaller returns a context that carries who asks.
func withCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// writeTimeout bounds how long a client may take to read an answer.
const writeTimeout = 60 * time.Second

// handler serves the routes for a service.
type handler struct {
	service Service
	log     *slog.Logger
}

// newHandler serves the API. Each request's context must come from withCaller.
func newHandler(s Service, log *slog.Logger) http.Handler { return &handler{s, log} }

// ServeHTTP answers one request. A panic ends that request alone.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			h.log.Error("request panicked", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			h.fail(w, r, newError(http.StatusInternalServerError, hidden, nil))
		}
	}()
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	rt, allow := find(r)
	switch {
	case rt == nil && allow == "":
		h.fail(w, r, NotFound("nothing is at %.200q; the interface is under /v1/, as openapi.yaml describes it", r.RequestURI))
		return
	case rt == nil:
		w.Header().Set("Allow", allow)
		h.fail(w, r, newError(http.StatusMethodNotAllowed, "%.20q is not allowed here; use %s", []any{r.Method, allow}))
		return
	}
	status, body, err := rt.run(h.service, callerOf(r), r)
	switch f, isFile := body.(*os.File); {
	case err != nil:
		h.fail(w, r, err)
	case isFile:
		defer f.Close()
		h.sendFile(w, r, f)
	default:
		h.send(w, r, status, "application/json", body)
	}
}

// sendFile sends a file. Its length goes first, so that the caller knows when
// some of it is missing.
func (h *handler) sendFile(w http.ResponseWriter, r *http.Request, f *os.File) {
	fi, err := f.Stat()
	if err != nil {
		h.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(fi.Size(), 10))
	if r.Method == http.MethodHead {
		return
	}
	for sent := int64(0); sent < fi.Size(); {
		// The size is no reason to be cut off, only to stand still is.
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
		n, err := io.CopyN(w, f, min(fi.Size()-sent, 1<<20))
		if err != nil {
			h.log.Warn("file was not sent whole", "path", r.URL.Path, "sent", sent+n, "of", fi.Size(), "err", err)
			return // the server breaks the connection, as the length is wrong
		}
		sent += n
	}
}

// callerOf returns who asks. A request from nowhere is from uid 2^32-1, which
// no process has.
func callerOf(r *http.Request) Caller {
	if c, ok := r.Context().Value(callerKey{}).(Caller); ok {
		return c
	}
	return Caller{UID: ^uint32(0), GID: ^uint32(0)}
}

// hidden is what a caller is told of a fault of the service.
const hidden = "internal error; the service's log has it"

// fail sends err as a problem, and logs it if it is not the caller's doing.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	var e *Error
	if !errors.As(err, &e) {
		if r.Context().Err() != nil {
			e = Unavailable("the request was given up")
		} else {
			h.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "err", err)
			e = newError(http.StatusInternalServerError, hidden, nil)
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
