// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"sync"
	"time"

	"elsa/internal/tally"
	"elsa/pkg/api"
)

// What requests of users who are no admins may take of the engine's time: so much
// at once, and of what goes by such a share, each user and all of them together.
const (
	userBurst, userShare = 100 * time.Millisecond, 0.2
	allBurst, allShare   = 250 * time.Millisecond, 0.5
	// patience is how long a request waits for its turn, and maxQueue how many of one
	// user do at a time.
	patience = 5 * time.Second
	maxQueue = 32
)

// budget bounds the time that users' requests take of the engine. The zero value
// is ready. Safe for concurrent use.
type budget struct {
	mu    sync.Mutex
	all   account
	users map[uint32]*account
}

// account is what is left of a budget: time that was not used, up to a bound; it
// may be overdrawn by one turn.
type account struct {
	left  time.Duration
	asOf  time.Time
	queue int           // requests that wait or have their turn
	turn  chan struct{} // one has its turn at a time
}

// refill adds the share of the time that went by.
func (a *account) refill(now time.Time, burst time.Duration, share float64) {
	if a.asOf.IsZero() {
		a.left = burst
	} else {
		a.left = min(burst, a.left+time.Duration(share*float64(now.Sub(a.asOf))))
	}
	a.asOf = now
}

// take waits for a user's turn. The caller calls done with what it took.
func (b *budget) take(ctx context.Context, who api.Caller, refused *tally.Shared) (done func(took time.Duration), err error) {
	if who.Admin {
		return func(time.Duration) {}, nil
	}
	busy := func() error {
		refused.Add(tally.Requests)
		return api.Unavailable("uid %d has too many requests under way, or too long ones: users' requests may take %.0f %% of the service's time each; try again later", who.UID, 100*userShare)
	}
	a := b.enter(who.UID)
	if a == nil {
		return nil, busy()
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	wait := func() error {
		select {
		case a.turn <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		for {
			pause := b.pause(a)
			if pause <= 0 {
				return nil
			}
			timer := time.NewTimer(pause)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				<-a.turn
				return ctx.Err()
			}
		}
	}
	if err := wait(); err != nil {
		b.leave(a)
		if err == context.DeadlineExceeded {
			err = busy()
		}
		return nil, err
	}
	return func(took time.Duration) {
		b.mu.Lock()
		a.left -= took
		b.all.left -= took
		b.mu.Unlock()
		<-a.turn
		b.leave(a)
	}, nil
}

// enter returns the account of a user, nil if too many requests wait for it.
func (b *budget) enter(uid uint32) *account {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.users == nil {
		b.users = map[uint32]*account{}
	}
	a := b.users[uid]
	if a == nil {
		a = &account{turn: make(chan struct{}, 1)}
		b.users[uid] = a
	}
	if a.queue >= maxQueue {
		return nil
	}
	a.queue++
	return a
}

// leave ends a request, and forgets accounts that are whole again once they are
// many.
func (b *budget) leave(a *account) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a.queue--
	if len(b.users) < 1024 {
		return
	}
	now := time.Now()
	for uid, a := range b.users {
		if a.queue == 0 {
			if a.refill(now, userBurst, userShare); a.left == userBurst {
				delete(b.users, uid)
			}
		}
	}
}

// pause is how long a user has to wait until there is time left.
func (b *budget) pause(a *account) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	a.refill(now, userBurst, userShare)
	b.all.refill(now, allBurst, allShare)
	until := func(left time.Duration, share float64) time.Duration {
		if left > 0 {
			return 0
		}
		return time.Duration(float64(-left)/share) + time.Millisecond
	}
	return max(until(a.left, userShare), until(b.all.left, allShare))
}
