// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	lists "container/list"
	"context"
	"net"
	"net/http"
	"strconv"
	"sync"

	"elsa/internal/outbox"
	"elsa/internal/tally"
)

// maxAnswers is how many bytes of answers may be under way to those who read them.
const maxAnswers = 64 << 20

// buffered answers by next, at most so many at a time, each made whole before it is
// sent: a slow reader holds up nobody else.
func buffered(next http.Handler, most int, box *outbox.Box) http.Handler {
	lanes := make(chan struct{}, most)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case lanes <- struct{}{}:
		case <-r.Context().Done():
			return // it hung up while it waited
		}
		a := &answer{header: w.Header(), status: http.StatusOK}
		func() {
			defer func() { <-lanes }()
			next.ServeHTTP(a, r)
		}()
		if a.Len() > 0 {
			w.Header().Set("Content-Length", strconv.Itoa(a.Len()))
		}
		w.WriteHeader(a.status)
		box.Send(w, 0, false, a.Bytes())
	})
}

// answer keeps what a handler writes.
type answer struct {
	bytes.Buffer
	header http.Header
	status int
}

func (a *answer) Header() http.Header    { return a.header }
func (a *answer) WriteHeader(status int) { a.status = status }

// conns bounds the connections. When there are too many, the one goes that has
// waited longest without a request being answered: whoever sends its request at
// once gets in, however many others say nothing.
type conns struct {
	most    int
	refused *tally.Shared

	mu      sync.Mutex
	open    map[net.Conn]*lists.Element // of waiting; nil while a request is answered
	waiting lists.List                  // of net.Conn
}

func newConns(most int, refused *tally.Shared) *conns {
	return &conns{most: most, refused: refused, open: map[net.Conn]*lists.Element{}}
}

// watch is the server's ConnState.
func (cs *conns) watch(c net.Conn, state http.ConnState) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	switch state {
	case http.StateNew:
		cs.open[c] = cs.waiting.PushBack(c)
		if len(cs.open) <= cs.most {
			return
		}
		old := cs.waiting.Front() // c itself where all others are answered
		cs.forget(old.Value.(net.Conn))
		cs.refused.Add(tally.Connections)
		// At once, as its descriptor is needed: TLS would say good-bye first.
		c := old.Value.(net.Conn)
		if under, ok := c.(interface{ NetConn() net.Conn }); ok {
			c = under.NetConn()
		}
		c.Close()
	case http.StateClosed, http.StateHijacked:
		cs.forget(c)
	}
}

func (cs *conns) forget(c net.Conn) {
	if e := cs.open[c]; e != nil {
		cs.waiting.Remove(e)
	}
	delete(cs.open, c)
}

type connKey struct{}

// context is the server's ConnContext.
func (cs *conns) context(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// answered notes which connections are answered.
func (cs *conns) answered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Context().Value(connKey{}).(net.Conn)
		cs.mu.Lock()
		if e := cs.open[c]; e != nil {
			cs.waiting.Remove(e)
			cs.open[c] = nil
		}
		cs.mu.Unlock()
		defer func() {
			cs.mu.Lock()
			defer cs.mu.Unlock()
			if e, there := cs.open[c]; there && e == nil {
				cs.open[c] = cs.waiting.PushBack(c)
			}
		}()
		next.ServeHTTP(w, r)
	})
}
