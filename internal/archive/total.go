// SPDX-License-Identifier: Apache-2.0

package archive

import "elsa/internal/query"

// Total is how many rows a sealed file has, and their user and system time together in
// nanoseconds. A file that is not there has none.
func Total(path string) (rows, cpu uint64, err error) {
	var t total
	x := Scanner{}
	err = x.file(path, newMatch(&query.Query{}), &t)
	return t.rows, t.cpu, err
}

type total struct{ rows, cpu uint64 }

func (t *total) take(b *batch, found []int32) error {
	if err := b.need(CPUUser, CPUSystem); err != nil {
		return err
	}
	for _, i := range found {
		t.rows++
		t.cpu += uint64(b.ints[CPUUser][i]) + uint64(b.ints[CPUSystem][i])
	}
	return nil
}
