// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// samples are those that the engine takes itself: of a process that changes groups, or
// executes a program later.
type samples struct {
	taken map[groups.Key]*proc.Sample // since EachSampled
	execs int                         // in this step
}

const (
	// maxTaken bounds the samples that are kept for EachSampled.
	maxTaken = 1 << 12
	// maxExecSamples bounds the programs in a step for which a sample is taken, in some
	// 35 µs each.
	maxExecSamples = 64
)
