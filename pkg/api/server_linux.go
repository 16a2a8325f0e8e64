// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"elsa/internal/tally"
)

// How long a client may take over each part of a request. The longest call of
// a service is usage with wait, bounded at a few seconds.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 15 * time.Second
	idleTimeout   = 2 * time.Minute
	stopTimeout   = 5 * time.Second
)

// Serve answers on l for s until ctx is done, lets the requests under way
// finish for up to 5 s, closes l, and returns nil. It returns an error only if
// the socket fails. Clients that connected after [Listen] and before Serve are
// answered. Nothing a client sends ends it.
func Serve(ctx context.Context, l *Listener, s Service, log *slog.Logger) error {
	srv := newServer(s, l.Refused, log)
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := srv.Shutdown(grace); err != nil {
			srv.Close()
		}
	})
	err := srv.Serve(l)
	if stop() { // Serve ended by itself.
		srv.Close()
		return err
	}
	<-stopped
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func newServer(s Service, refused *tally.Shared, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           newHandler(s, refused, log),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return withCaller(ctx, c.(*peerConn).caller)
		},
	}
}
