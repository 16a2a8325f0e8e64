// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"elsa/internal/config"
	"elsa/pkg/proc"
)

// An error that comes with every commit is one line, and its end is another,
// as JSON where that is asked for.
func TestTellOnce(t *testing.T) {
	var out bytes.Buffer
	cfg := config.Config{LogFormat: "json", LogLevel: "info"}
	p := New(Options{Log: cfg.Logger(&out), Proc: proc.NewBounded(proc.Default)})
	for range 100 {
		p.tell("commit", errors.New("disk full"))
	}
	p.tell("commit", errors.New("disk gone"))
	for range 100 {
		p.tell("commit", nil)
	}
	var said []string
	for line := range strings.Lines(out.String()) {
		var entry struct{ Level, Msg, Err string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		said = append(said, strings.TrimSpace(strings.Join([]string{entry.Level, entry.Msg, entry.Err}, " ")))
	}
	if got, want := strings.Join(said, "; "), "ERROR cannot do commit disk full; ERROR cannot do commit disk gone; INFO commit works again"; got != want {
		t.Errorf("the log has %q, want %q", got, want)
	}
}
