// SPDX-License-Identifier: Apache-2.0

// Package web serves the service's HTTP side: the metrics, the probes and a
// page for people to look at.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"

	"elsa/internal/descriptors"
	"elsa/internal/outbox"
	"elsa/internal/tally"
)

// Server is a bound listener with what it is to serve.
type Server struct {
	listener   net.Listener
	configFile string
	http       *http.Server
	log        *slog.Logger
}

// ServerOptions say where and how a [Server] listens.
type ServerOptions struct {
	// Addr is where to listen, "host:port"; port 0 takes a free one.
	Addr string
	// ConfigFile has TLS, basic authentication and headers, in the format of
	// Prometheus's exporters; empty is none.
	ConfigFile string
	// Hosts are names that it answers to beside its own. A listener that only this
	// machine can reach answers to no others; another one answers to every name if
	// there are none.
	Hosts []string
	// Refused counts what is refused; nil counts nothing.
	Refused *tally.Shared
	// Log takes warnings; nil means slog.Default().
	Log *slog.Logger
}

// Listen checks the configuration file and binds the address. Requests are answered
// by handler once [Server.Run] runs; the caller must call it.
func Listen(o ServerOptions, handler http.Handler) (*Server, error) {
	addr, configFile, log := o.Addr, o.ConfigFile, o.Log
	if log == nil {
		log = slog.Default()
	}
	if err := toolkit.Validate(configFile); err != nil {
		return nil, fmt.Errorf("read web configuration %s: %w", configFile, err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for HTTP on %s: %w", addr, err)
	}
	log = slog.New(quiet{log.Handler()})
	open := newConns(descriptors.Share(maxConns), o.Refused)
	return &Server{
		listener:   l,
		configFile: configFile,
		log:        log,
		http: &http.Server{
			Handler:           open.answered(newHosts(l.Addr(), o.Hosts, o.Refused).check(handler)),
			ConnState:         open.watch,
			ConnContext:       open.context,
			ReadHeaderTimeout: headerTimeout,
			ReadTimeout:       2 * headerTimeout,
			WriteTimeout:      outbox.Whole,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    64 << 10,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		},
	}, nil
}

// maxConns is how many connections there are at a time; see conns for which go when
// there are more.
const maxConns = 512

const (
	headerTimeout = 5 * time.Second
	idleTimeout   = time.Minute
)

// How many scrapes, pages, and pages of the archive, are made at a time. elsa-archive
// answers two who ask, so that one is left for users.
const (
	maxScrapes = 2
	maxPages   = 2
	maxLives   = 1
)

// Addr is the address that was bound.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// shutdownTimeout is what requests under way get when the server stops.
const shutdownTimeout = 3 * time.Second

// Run serves until ctx ends, then lets the requests under way finish for a
// moment and returns nil. Any other end is an error. The listener is closed
// in each case.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() {
		flags := &toolkit.FlagConfig{WebConfigFile: &s.configFile}
		served <- toolkit.Serve(s.listener, s.http, flags, s.log)
	}()
	var err error
	select {
	case err = <-served:
		s.listener.Close()
	case <-ctx.Done():
		stop, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		if s.http.Shutdown(stop) != nil {
			s.http.Close()
		}
		s.listener.Close() // Serve may not have got to it
		err = <-served
		if errors.Is(err, net.ErrClosed) {
			err = nil
		}
	}
	if err == nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve HTTP on %s: %w", s.Addr(), err)
}

// quiet passes on warnings and errors: that the server listens is in the
// service's own log line.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && q.Handler.Enabled(ctx, l)
}
func (q quiet) WithAttrs(a []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(a)} }
func (q quiet) WithGroup(name string) slog.Handler   { return quiet{q.Handler.WithGroup(name)} }

// Routes puts the pieces together: /metrics, the probes /-/healthy and
// /-/ready, and the page everywhere else. ready returns nil when the service
// is, else why it is not; it must not block.
func Routes(metrics, page http.Handler, ready func() error, refused *tally.Shared) http.Handler {
	mux := http.NewServeMux()
	box := &outbox.Box{Limit: maxAnswers, Refused: refused}
	mux.Handle("GET /metrics", buffered(metrics, maxScrapes, box))
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "elsad is healthy")
	})
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, "elsad is not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "elsad is ready")
	})
	// What is asked of the archive takes longer, and holds up no other page.
	mux.Handle("GET /life", buffered(page, maxLives, box))
	mux.Handle("GET /", buffered(page, maxPages, box))
	return mux
}
