// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/archive"
	"elsa/internal/peer"
	"elsa/internal/query"
)

// Bounds of what users may ask.
const (
	maxQuestion  = 64 << 10
	maxAnswers   = 2 // at a time
	answerWithin = 2 * time.Minute
	maxConns     = 64
)

// serve seals and prunes until ctx ends, and answers on the socket.
func (o *options) serve(ctx context.Context) error {
	log := slog.New(slog.NewTextHandler(o.stderr, nil))
	os.Remove(o.socket)
	l, err := net.Listen("unix", o.socket)
	if err != nil {
		return fmt.Errorf("listen for questions: %w", err)
	}
	if err := os.Chmod(o.socket, 0o666); err != nil {
		return fmt.Errorf("listen for questions: %w", err)
	}
	s := o.server()
	go s.Serve(&limited{Listener: l, room: make(chan struct{}, maxConns)})
	defer s.Close()
	if err := archive.Clean(o.dir); err != nil {
		return err
	}
	log.Info("ready", "dir", o.dir)
	tick := time.NewTicker(o.every)
	defer tick.Stop()
	for told := ""; ; {
		done, err := archive.Seal(o.dir)
		for _, d := range done.Damage {
			log.Error("the journal is damaged; what can be read is sealed", "err", d)
		}
		if done.Segments > 0 {
			log.Info("sealed", "segments", done.Segments, "files", done.Files, "rows", done.Rows, "lost", done.Lost)
		}
		removed, perr := archive.Prune(o.dir, o.days, o.bytes, time.Now())
		if len(removed) > 0 {
			log.Info("pruned", "files", len(removed))
		}
		err = errors.Join(err, perr)
		if text := fmt.Sprint(err); err != nil && text != told {
			log.Error("cannot keep the archive; it is tried again", "err", err)
			told = text
		} else if err == nil {
			told = ""
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// asker is the key of the user at the other end of a connection, a *who.
type asker struct{}

// who is a user who asks.
type who struct {
	uid uint32
	all bool // root, or in the unix group elsa
}

// adminGroup is the unix group whose members control elsad.
const adminGroup = "elsa"

// whoAsks asks the kernel who is at the other end of a connection. Members of the unix
// group admins may see all.
func whoAsks(c *net.UnixConn, admins string) (*who, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	var groups []uint32
	var failed error
	err = raw.Control(func(fd uintptr) {
		if cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); failed == nil {
			groups, failed = peer.Groups(int(fd))
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return nil, err
	}
	w := &who{uid: cred.Uid, all: cred.Uid == 0}
	if g, err := user.LookupGroup(admins); err == nil {
		n, err := strconv.ParseUint(g.Gid, 10, 32)
		w.all = w.all || err == nil && slices.Contains(append(groups, cred.Gid), uint32(n))
	}
	return w, nil
}

// server answers each user with rows of that user's processes, root and the members of
// the group with all.
func (o *options) server() *http.Server {
	busy := make(chan struct{}, maxAnswers)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/processes", answering(busy, (*query.Query).Check, func(w http.ResponseWriter, r *http.Request, q *query.Query, owner *uint32) {
		w.Header().Set("Trailer", trailer)
		x := archive.Scanner{Dir: o.dir, Owner: owner, Stop: r.Context().Err, Damage: func(err error) {
			if len(w.Header().Values(trailer)) < 20 {
				w.Header().Add(trailer, fmt.Sprintf("%.300q", err.Error()))
			}
		}}
		if err := x.Run(q, w); err != nil {
			panic(http.ErrAbortHandler) // the asker sees that it is cut off
		}
	}))
	mux.HandleFunc("POST /v1/life", answering(busy, (*query.Query).CheckLife, func(w http.ResponseWriter, r *http.Request, q *query.Query, owner *uint32) {
		x := archive.Scanner{Dir: o.dir, Owner: owner, Stop: r.Context().Err}
		l, err := x.Life(q)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(l)
	}))
	return &http.Server{
		Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: answerWithin, IdleTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			w, err := whoAsks(c.(*conn).Conn.(*net.UnixConn), o.admins)
			if err != nil {
				return ctx
			}
			return context.WithValue(ctx, asker{}, w)
		},
	}
}

// answering reads a question and has it answered, for the user who asks: owner is the
// only one whose rows that may see, nil for who may see all.
func answering(busy chan struct{}, check func(*query.Query) error, answer func(http.ResponseWriter, *http.Request, *query.Query, *uint32)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		from, ok := r.Context().Value(asker{}).(*who)
		if !ok {
			http.Error(w, "who asks is not known", http.StatusForbidden)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxQuestion))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		q, err := parse(body, check)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case busy <- struct{}{}:
			defer func() { <-busy }()
		default:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "others are being answered; ask again", http.StatusServiceUnavailable)
			return
		}
		var owner *uint32
		if !from.all {
			owner = &from.uid
		}
		answer(w, r, q, owner)
	}
}

// limited bounds the connections there are: the next waits.
type limited struct {
	net.Listener
	room chan struct{}
}

type conn struct {
	net.Conn
	done func()
}

// Accept waits for room and a connection.
func (l *limited) Accept() (net.Conn, error) {
	l.room <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.room
		return nil, err
	}
	var once sync.Once
	return &conn{c, func() { once.Do(func() { <-l.room }) }}, nil
}

// Close makes room for another.
func (c *conn) Close() error {
	c.done()
	return c.Conn.Close()
}
