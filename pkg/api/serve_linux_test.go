// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// logLines collects what the server logs.
type logLines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serve runs the service on a socket until the test ends.
func serve(t *testing.T, s Service) (socket string, log *logLines) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	l, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	return socket, serveOn(t, l, s)
}

func serveOn(t *testing.T, l *Listener, s Service) *logLines {
	ctx, cancel := context.WithCancel(t.Context())
	log := &logLines{}
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, s, slog.New(slog.NewTextHandler(log, nil))) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		if c, err := net.Dial("unix", l.Addr().String()); err == nil {
			c.Close()
			t.Errorf("the socket still answers after the end")
		}
	})
	return log
}
