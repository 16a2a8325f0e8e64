// SPDX-License-Identifier: Apache-2.0

//go:build fault

package fault

import (
	"errors"
	"syscall"
	"testing"
)

func TestPoint(t *testing.T) {
	actions = must(parseActions("commit.begin=enospc:2@2"))
	for i, want := range []bool{false, true, true, false} {
		if err := Point(CommitBegin); errors.Is(err, syscall.ENOSPC) != want {
			t.Errorf("pass %d: %v", i+1, err)
		}
	}
	for _, bad := range []string{"commit.begin=kill", "nowhere=kill@1", "commit.begin=eat@1", "commit.begin=kill@0"} {
		if _, err := parseActions(bad); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
