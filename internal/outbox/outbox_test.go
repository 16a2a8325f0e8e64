// SPDX-License-Identifier: Apache-2.0

package outbox

import (
	"errors"
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"elsa/internal/tally"
)

// reader is a connection that takes so many bytes and then no more, until its
// deadline.
type reader struct {
	http.ResponseWriter
	mu    sync.Mutex
	room  int
	until time.Time
	moved chan struct{}
}

func newReader(room int) *reader { return &reader{room: room, moved: make(chan struct{}, 100)} }

func (r *reader) SetWriteDeadline(t time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.until = t
	r.moved <- struct{}{}
	return nil
}

func (r *reader) Write(p []byte) (int, error) {
	r.mu.Lock()
	if r.room >= len(p) {
		r.room -= len(p)
		r.mu.Unlock()
		return len(p), nil
	}
	for {
		left := time.Until(r.until)
		r.mu.Unlock()
		if left <= 0 {
			return 0, os.ErrDeadlineExceeded
		}
		select {
		case <-r.moved:
		case <-time.After(left):
		}
		r.mu.Lock()
	}
}

// TestSlowReadersMakeRoom: answers under way are bounded, those of who has most go
// first, and others are not touched.
func TestSlowReadersMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n tally.Shared
		b := &Box{Limit: 10 << 20, Refused: &n}
		body := make([]byte, 1<<20)
		var ended sync.Map
		send := func(name string, owner uint32, keep bool, room int) {
			go func() { ended.Store(name, errors.Join(b.Send(newReader(room), owner, keep, body))) }()
			synctest.Wait()
		}
		send("root", 0, true, 0)
		send("other", 2, false, 0)
		for i := range 8 {
			send(string(rune('a'+i)), 1, false, 0)
		}
		if b.bytes != 10<<20 {
			t.Errorf("%d bytes under way", b.bytes)
		}
		send("quick", 3, false, 1<<20)
		if err, ok := ended.Load("quick"); !ok || err != nil {
			t.Errorf("a quick reader: %v %v", ok, err)
		}
		if _, ok := ended.Load("a"); !ok {
			t.Error("the oldest of who has most is still there")
		}
		for _, name := range []string{"b", "other", "root"} {
			if err, ok := ended.Load(name); ok {
				t.Errorf("%s ended: %v", name, err)
			}
		}
		begin := time.Now()
		held := func() int {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.held[0] + b.held[1] + b.held[2]
		}
		for held() > 0 {
			time.Sleep(time.Second) // sleep: in a bubble
		}
		if took := time.Since(begin); took > Stall+time.Second {
			t.Errorf("readers that take nothing were held %v", took)
		}
		if b.bytes != 0 || len(b.queue) != 0 || len(b.held) != 0 {
			t.Errorf("left: %d bytes, %d answers", b.bytes, len(b.queue))
		}
		if n := n.Count(tally.Answers); n != 10 {
			t.Errorf("%d answers counted, want 10", n)
		}
	})
}
