// SPDX-License-Identifier: Apache-2.0

// Package outbox sends answers that are ready to readers who may be slow. It
// bounds the memory of all that are under way: where there is no room for one
// more, the oldest of whoever has most is given up.
package outbox

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"elsa/internal/tally"
)

// Stall is how long a reader may take nothing, and Whole how long the whole answer
// may take.
const (
	Stall = 5 * time.Second
	Whole = time.Minute
)

const chunk = 64 << 10

// ErrGivenUp means that an answer was not sent whole because others needed the room.
var ErrGivenUp = errors.New("send answer: given up, its reader is slow and the room is needed")

// Box bounds the answers under way. The zero value bounds them to nothing but one.
// Safe for concurrent use.
type Box struct {
	// Limit is how many bytes may be under way.
	Limit int
	// Refused counts the answers that were given up or timed out.
	Refused *tally.Shared

	mu    sync.Mutex
	bytes int
	held  map[uint32]int // bytes, by whose they are
	queue []*letter      // the oldest first
}

type letter struct {
	owner uint32
	keep  bool
	size  int
	gone  bool
	w     *http.ResponseController
}

// Send writes body to w and returns when it is written, or cannot be. owner is who
// reads it; with keep it is not given up for others. The caller must not use the
// write deadline of w.
func (b *Box) Send(w http.ResponseWriter, owner uint32, keep bool, body []byte) error {
	l := &letter{owner: owner, keep: keep, size: len(body), w: http.NewResponseController(w)}
	b.admit(l)
	defer b.remove(l)
	end := time.Now().Add(Whole)
	for len(body) > 0 {
		if err := b.extend(l, end); err != nil {
			return err
		}
		n, err := w.Write(body[:min(chunk, len(body))])
		if err != nil {
			b.Refused.Add(tally.Answers)
			return err
		}
		body = body[n:]
	}
	if err := b.extend(l, end); err != nil { // for what the server has buffered
		return err
	}
	return nil
}

// admit makes room for an answer.
func (b *Box) admit(l *letter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held == nil {
		b.held = map[uint32]int{}
	}
	b.bytes += l.size
	b.held[l.owner] += l.size
	for b.bytes > b.Limit {
		old := b.largest()
		if old == nil {
			break
		}
		b.drop(old)
		old.gone = true
		old.w.SetWriteDeadline(time.Now())
	}
	b.queue = append(b.queue, l)
}

// largest is the oldest answer of the owner who has most; nil if none may go.
func (b *Box) largest() (first *letter) {
	for _, l := range b.queue {
		if !l.keep && (first == nil || b.held[l.owner] > b.held[first.owner]) {
			first = l
		}
	}
	return first
}

func (b *Box) drop(l *letter) {
	for i := range b.queue {
		if b.queue[i] == l {
			b.queue = append(b.queue[:i], b.queue[i+1:]...)
			break
		}
	}
	b.bytes -= l.size
	if b.held[l.owner] -= l.size; b.held[l.owner] == 0 {
		delete(b.held, l.owner)
	}
}

func (b *Box) remove(l *letter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !l.gone {
		b.drop(l)
	}
}

// extend gives the reader some more time, unless the answer was given up.
func (b *Box) extend(l *letter, end time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.gone {
		return ErrGivenUp
	}
	l.w.SetWriteDeadline(earlier(time.Now().Add(Stall), end)) // what has no deadlines needs none
	return nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
