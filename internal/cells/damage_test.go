// SPDX-License-Identifier: Apache-2.0

//go:build !race

package cells

import (
	"bytes"
	"testing"
)

// A damaged file is an error or not, but no panic. The race detector is left out: its
// check of pointers ends the program in parquet-go, where Decode else recovers.
func TestDamaged(t *testing.T) {
	answer, names := sample()
	file, err := Encode(Named(answer, &answer.Hours[0], names))
	if err != nil {
		t.Fatal(err)
	}
	for i := range file {
		broken := bytes.Clone(file)
		broken[i] ^= 0x10
		Decode(broken)
	}
}
