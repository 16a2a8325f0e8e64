// SPDX-License-Identifier: Apache-2.0

package descriptors

import (
	"math"
	"testing"
)

func TestShare(t *testing.T) {
	for limit, want := range map[uint64]int{64: 8, 256: 48, 400: 120, 1024: 432, 1184: 512, 524288: 512, math.MaxUint64: 512} {
		if got := share(512, limit); got != want {
			t.Errorf("of %d descriptors a listener gets %d, want %d", limit, got, want)
		}
	}
}
