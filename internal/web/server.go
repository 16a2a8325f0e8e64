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
	"golang.org/x/net/netutil"
)

// Server is a bound listener with what it is to serve.
type Server struct {
	listener   net.Listener
	configFile string
	http       *http.Server
	log        *slog.Logger
}

// Listen checks configFile, if it is not empty, and binds addr ("host:port";
// port 0 takes a free one). The file is that of Prometheus's exporters: TLS,
// basic authentication, headers. Requests are answered by handler once
// [Server.Run] runs; the caller must call it. log may be nil.
func Listen(addr, configFile string, handler http.Handler, log *slog.Logger) (*Server, error) {
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
	return &Server{
		listener:   netutil.LimitListener(l, maxConns),
		configFile: configFile,
		log:        log,
		http: &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: 10 * time.Second,
			ReadTimeout:       20 * time.Second,
			WriteTimeout:      time.Minute,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    64 << 10,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		},
	}, nil
}

// maxConns is how many connections are served at a time; more wait for the kernel
// to accept them. It bounds what clients that never finish can hold.
const maxConns = 512

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
func Routes(metrics, page http.Handler, ready func() error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
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
	mux.Handle("GET /", page)
	return mux
}
