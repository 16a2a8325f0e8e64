// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestLinks: what is of the archive is in a program of its own. elsad and elsactl know
// nothing of Parquet, and no language of expressions.
func TestLinks(t *testing.T) {
	for _, program := range []string{"elsa/cmd/elsad", "elsa/cmd/elsactl"} {
		out, err := exec.Command("go", "list", "-deps", program).Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, big := range []string{"parquet", "expr-lang"} {
			if !strings.Contains(string(out), program) || strings.Contains(string(out), big) {
				t.Errorf("%s links %s", program, big)
			}
		}
	}
}
