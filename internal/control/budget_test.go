// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"elsa/internal/tally"
	"elsa/pkg/api"
)

// TestBudget: users who ask all the time get their share of it, and root waits for
// nobody.
func TestBudget(t *testing.T) {
	for _, tt := range []struct {
		users int
		share float64
	}{{1, userShare}, {2, 2 * userShare}, {10, allShare}} {
		synctest.Test(t, func(t *testing.T) {
			var b budget
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			taken := make(chan time.Duration)
			for uid := range tt.users {
				go func() {
					sum := time.Duration(0)
					defer func() { taken <- sum }()
					for ctx.Err() == nil {
						done, err := b.take(ctx, api.Caller{UID: uint32(uid + 1)}, nil)
						if err != nil {
							continue
						}
						time.Sleep(3 * time.Millisecond) // sleep: its turn, in a bubble
						sum += 3 * time.Millisecond
						done(3 * time.Millisecond)
					}
				}()
			}
			for range 1000 {
				begin := time.Now()
				done, err := b.take(ctx, api.Caller{Admin: true}, nil)
				if err != nil || time.Since(begin) != 0 {
					t.Fatalf("root waited %v: %v", time.Since(begin), err)
				}
				done(time.Second)
				time.Sleep(time.Millisecond) // sleep: in a bubble
			}
			sum := time.Duration(0)
			for range tt.users {
				sum += <-taken
			}
			if got := sum.Seconds() / 60; got > tt.share+0.02 || got < tt.share*0.8 {
				t.Errorf("%d users took %.3f of the time, want %.2f", tt.users, got, tt.share)
			}
		})
	}
}

// TestBudgetRefuses: a queue is bounded, a wait too, and who hung up waits no more.
func TestBudgetRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b budget
		var n tally.Shared
		who := api.Caller{UID: 7}
		done, err := b.take(t.Context(), who, &n)
		if err != nil {
			t.Fatal(err)
		}
		gone, cancel := context.WithCancel(t.Context())
		errs := make(chan error)
		for i := range maxQueue - 1 {
			ctx := t.Context()
			if i == 0 {
				ctx = gone
			}
			go func() {
				_, err := b.take(ctx, who, &n)
				errs <- err
			}()
		}
		synctest.Wait()
		if _, err := b.take(t.Context(), who, &n); status(err) != 503 {
			t.Errorf("one more than may wait: %v", err)
		}
		cancel()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("who hung up: %v", err)
		}
		begin := time.Now()
		for range maxQueue - 2 {
			if err := <-errs; status(err) != 503 {
				t.Errorf("who waited: %v", err)
			}
		}
		if took := time.Since(begin); took != patience {
			t.Errorf("they waited %v", took)
		}
		done(0)
		if n := n.Count(tally.Requests); n != maxQueue-1 {
			t.Errorf("%d refusals counted, want %d", n, maxQueue-1)
		}
		if done, err = b.take(t.Context(), who, &n); err != nil {
			t.Error(err)
		}
		done(0)
	})
}
