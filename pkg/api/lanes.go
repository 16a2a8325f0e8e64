// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"sync"
	"time"
)

// Bounds on requests whose answer may be large, while it is made. Root has none.
const (
	maxLargePerUser = 2
	maxLarge        = 8
	// lanePatience is how long such a request waits for others.
	lanePatience = 10 * time.Second
)

// lanes bound the requests under way, of each user and of all. The zero value is
// not ready; use newLanes.
type lanes struct {
	all chan struct{}

	mu    sync.Mutex
	users map[uint32]*lane
}

type lane struct {
	busy chan struct{}
	n    int // requests in it or waiting
}

func newLanes() *lanes {
	return &lanes{all: make(chan struct{}, maxLarge), users: map[uint32]*lane{}}
}

// enter waits until a request of a user may go on. The caller calls leave.
func (ls *lanes) enter(ctx context.Context, uid uint32) (leave func(), err error) {
	if uid == 0 {
		return func() {}, nil
	}
	ls.mu.Lock()
	l := ls.users[uid]
	if l == nil {
		l = &lane{busy: make(chan struct{}, maxLargePerUser)}
		ls.users[uid] = l
	}
	l.n++
	ls.mu.Unlock()
	quit := func() {
		ls.mu.Lock()
		defer ls.mu.Unlock()
		if l.n--; l.n == 0 {
			delete(ls.users, uid)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, lanePatience)
	defer cancel()
	select {
	case l.busy <- struct{}{}:
	case <-ctx.Done():
		quit()
		return nil, ctx.Err()
	}
	select {
	case ls.all <- struct{}{}:
	case <-ctx.Done():
		<-l.busy
		quit()
		return nil, ctx.Err()
	}
	return func() {
		<-ls.all
		<-l.busy
		quit()
	}, nil
}
