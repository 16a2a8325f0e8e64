// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"fmt"
	"os"
	"testing"
)

// Soak tells whether the long forms of tests are wanted: ELSA_SOAK is set.
func Soak() bool { return os.Getenv("ELSA_SOAK") != "" }

// Row adds a line to the table of test/RELIABILITY.md, in the file that
// ELSA_RELIABILITY names: what was broken, how often, and what of the deaths was lost
// or counted twice. It adds none when t has failed.
func Row(t *testing.T, fault string, tried int, deaths, lost, doubled uint64, note string) {
	t.Helper()
	t.Logf("%s: tried %d times, %d deaths, %d lost, %d doubled; %s", fault, tried, deaths, lost, doubled, note)
	path := os.Getenv("ELSA_RELIABILITY")
	if path == "" || t.Failed() {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprintf(f, "| %s | %d | %d | %d | %d | %s | `%s` |\n", fault, tried, deaths, lost, doubled, note, t.Name())
}
