// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestLanes: a user has so many large requests at a time, all users so many, and
// root waits for nobody.
func TestLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ls := newLanes()
		var leaves []func()
		try := func(uid uint32) bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			leave, err := ls.enter(ctx, uid)
			if err == nil {
				leaves = append(leaves, leave)
			}
			return err == nil
		}
		for uid := uint32(1); uid <= 4; uid++ {
			for i := range 4 {
				if ok := try(uid); ok != (i < maxLargePerUser) {
					t.Errorf("request %d of uid %d goes on: %v", i, uid, ok)
				}
			}
		}
		if try(9) || !try(0) || !try(0) {
			t.Error("all lanes are taken: another user goes on, or root does not")
		}
		for _, leave := range leaves {
			leave()
		}
		if len(ls.users) != 0 || len(ls.all) != 0 || !try(9) {
			t.Errorf("after all left: %d users, %d requests", len(ls.users), len(ls.all))
		}
	})
}
