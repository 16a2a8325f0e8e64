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
	"sync"
	"time"

	"elsa/internal/outbox"
	"elsa/internal/tally"
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
	refused *tally.Shared
	lanes   *lanes
	answers outbox.Box
}

// maxAnswers is how many bytes of answers may be under way to users.
const maxAnswers = 32 << 20

// newHandler serves the API. Each request's context must come from withCaller.
func newHandler(s Service, refused *tally.Shared, log *slog.Logger) http.Handler {
	return &handler{
		service: s, log: log, refused: refused, lanes: newLanes(), answers: outbox.Box{Limit: maxAnswers, Refused: refused},
	}
}

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
	leave := func() {}
	if rt.large {
		var err error
		if leave, err = h.lanes.enter(r.Context(), callerOf(r).UID); err != nil {
			h.refused.Add(tally.Requests)
			h.fail(w, r, Unavailable("too many requests for lists and figures are under way: %d of a user, %d in all; try again later", maxLargePerUser, maxLarge))
			return
		}
	}
	var once sync.Once
	defer once.Do(leave) // a panic, too
	status, body, err := rt.run(h.service, callerOf(r), r)
	switch f, isFile := body.(*os.File); {
	case err != nil:
		h.fail(w, r, err)
	case isFile:
		defer f.Close()
		h.sendFile(w, r, f)
	default:
		answer, ok := h.encode(w, r, body)
		once.Do(leave) // a slow reader holds up nobody
		if ok {
			h.write(w, r, status, "application/json", answer)
		}
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
	if answer, ok := h.encode(w, r, e); ok {
		h.write(w, r, e.Status, "application/problem+json", answer)
	}
}

// encode makes the whole answer at once, so that an error in making it can still
// become a proper one; nil has none. ok is false if that error was sent.
func (h *handler) encode(w http.ResponseWriter, r *http.Request, body any) (answer []byte, ok bool) {
	if body == nil {
		return nil, true
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		h.log.Error("encode answer", "method", r.Method, "path", r.URL.Path, "err", err)
		http.Error(w, `{"status":500,"title":"Internal Server Error"}`, http.StatusInternalServerError)
		return nil, false
	}
	return b.Bytes(), true
}

// write sends an answer.
func (h *handler) write(w http.ResponseWriter, r *http.Request, status int, contentType string, answer []byte) {
	if answer == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	uid := callerOf(r).UID
	h.answers.Send(w, uid, uid == 0, answer) // the caller may be gone; nothing to do about it
}
