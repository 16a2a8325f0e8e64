// SPDX-License-Identifier: Apache-2.0

package archive

import "elsa/internal/query"

// nothing reads all of a row and keeps nothing.
type nothing struct{}

func (nothing) take(b *batch, _ []int32) error { return b.need(everything...) }

// Verify reads all of the archive in dir, tells what is damaged, and returns how many
// rows it read.
func Verify(dir string, damage func(error)) (rows uint64, err error) {
	x := Scanner{Dir: dir, Damage: damage}
	q := &query.Query{}
	err = x.scan(q, newMatch(q), nothing{})
	return x.rows, err
}
