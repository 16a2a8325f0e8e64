// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"context"
	_ "embed"
	"html/template"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"elsa/pkg/usage"
)

//go:embed style.css
var style []byte

//go:embed page.html
var pageText string

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"cores": cores, "seconds": seconds, "size": size, "count": count, "nanos": func(ns int64) string { return lasted(time.Duration(ns)) }, "bytes": func(n int64) string { return size(uint64(max(n, 0))) }, "number": func(n int64) string { return count(uint64(max(n, 0))) }, "bill": bill, "figure": figure,
	"word": func(s string) string { w, _, _ := strings.Cut(s, ":"); return w }, "breakable": breakable, "user": func(uint32) string { return "" },
	"time": func(t time.Time) string { return t.Format("2006-01-02 15:04:05 MST") },
}).Parse(pageText))

// Interval is how often [Page.Observe] should be called.
const Interval = 10 * time.Second

// Options say what a [Page] shows. The zero value will do.
type Options struct {
	// Snapshot returns the figures to show, nil while there are none. It is
	// called once per request and should give up when ctx ends. If it is nil,
	// the page shows what it observed last.
	Snapshot func(ctx context.Context) *usage.Snapshot
	// Members returns the live members of a group. If it is nil the page
	// does not speak of members.
	Members func(ctx context.Context, group uint32) ([]Member, error)
	// Cells reads the history. If it is nil the page shows the last hour alone, as far as
	// it was running.
	Cells Cells
	// Life reads the archive, for all who can reach the page; nil: there is none. It is
	// shown only where Members are.
	Life Life
	// User names a user; it must not block. Nil shows numbers.
	User func(uid uint32) string
	// CPUs is how many CPUs the machine has; 0: not known.
	CPUs int
	// Version is shown at the foot of the page.
	Version string
	// Log takes what goes wrong; nil means slog.Default().
	Log *slog.Logger
}

// Member is a live process of a group.
type Member struct {
	PID     int
	UID     uint32
	Command string
	Started time.Time
	CPU     time.Duration
	RSS     uint64 // its peak, in bytes
}

// Page is the handler of the pages for people: / lists the groups, /group
// shows one, and /life its processes in an hour. It loads nothing from elsewhere and runs no script.
type Page struct {
	opts      Options
	templates *template.Template

	mu      sync.Mutex
	history lastHour
	pasts   pasts
}

// NewPage returns a page with an empty past.
func NewPage(o Options) *Page {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.User == nil {
		o.User = func(uid uint32) string { return strconv.FormatUint(uint64(uid), 10) }
	}
	p := &Page{opts: o, templates: template.Must(pages.Clone()).Funcs(template.FuncMap{"user": o.User})}
	if o.Snapshot == nil {
		p.opts.Snapshot = p.observed
	}
	return p
}

// observed returns the last snapshot that was observed, nil before the first.
func (p *Page) observed(context.Context) *usage.Snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.history.last
}

// Observe adds a snapshot to the past that the charts show. Call it every
// [Interval]; half a minute is the charts' finest step. It takes no longer than
// a walk over the groups and may be called while requests are served.
func (p *Page) Observe(s *usage.Snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.history.observe(s)
}

// policy allows the page's own style sheet and forms, and nothing else.
const policy = "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	switch r.URL.Path {
	case "/":
		p.serveList(w, r)
	case "/group":
		p.serveGroup(w, r)
	case "/life":
		p.serveLife(w, r)
	case "/group.csv":
		p.serveCSV(w, r)
	case "/style.css":
		h.Set("Content-Type", "text/css; charset=utf-8")
		h.Set("Cache-Control", "max-age=300")
		w.Write(style)
	default:
		p.fail(w, http.StatusNotFound, "There is no such page.")
	}
}

// frame is what every page has around its content.
type frame struct {
	Title, Version string
	// Refresh is every how many seconds the page loads itself anew; 0: never.
	Refresh int
	// RefreshURL turns that on or off.
	RefreshURL string
	Time       time.Time
	Content    any
}

func (p *Page) render(w http.ResponseWriter, status int, name string, f frame) {
	f.Version = p.opts.Version
	var b bytes.Buffer
	if err := p.templates.ExecuteTemplate(&b, name, f); err != nil {
		p.opts.Log.Error("render page", "page", name, "err", err)
		http.Error(w, "the page cannot be shown; see the log", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

// snapshot returns the figures to show, or answers the request that there are
// none and returns nil.
func (p *Page) snapshot(w http.ResponseWriter, r *http.Request) *usage.Snapshot {
	s := p.opts.Snapshot(r.Context())
	if s == nil {
		p.fail(w, http.StatusServiceUnavailable,
			"There are no figures yet: the service is starting or busy. Try again in a moment.")
	}
	return s
}

func (p *Page) fail(w http.ResponseWriter, status int, text string) {
	p.render(w, status, "error", frame{Title: http.StatusText(status), Content: text})
}

// unread answers that the history cannot be read.
func (p *Page) unread(w http.ResponseWriter, err error) {
	p.opts.Log.Warn("read history for the page", "err", err)
	p.fail(w, http.StatusServiceUnavailable, "The history cannot be read now: "+err.Error()+".")
}
