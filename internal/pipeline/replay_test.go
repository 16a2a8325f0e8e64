// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"elsa/pkg/acct"
)

// A long replay is told to systemd before it would lose patience, and to the log
// every 5 s; each byte counts once, however often it is read.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var said []string
		r := newReplay(slog.New(slog.NewTextHandler(&log, nil)), &log, func(s string) { said = append(said, s) })
		const lines = 2 << 20
		r.begin(lines*acct.BSDSize, 2)
		for range 2 * lines / 1024 {
			r.advance(1024)
			time.Sleep(12 * time.Second / (2 * lines / 1024)) // sleep: in a bubble
		}
		r.end()
		if len(said) != 3 || !strings.Contains(said[0], "0 of 128 MiB (0 %)") || !strings.Contains(said[2], "106 of 128 MiB (83 %)") ||
			!strings.Contains(said[2], "\nEXTEND_TIMEOUT_USEC=60000000") {
			t.Errorf("systemd was told %q", said)
		}
		if got := strings.Split(log.String(), "\n"); len(got) != 4 || !strings.Contains(got[0], "done=55") || !strings.Contains(got[2], "took=12s") {
			t.Errorf("the log has %q", got)
		}
	})
	var r *replay // an elsad that is ready
	r.begin(1, 1)
	r.advance(1)
	r.end()
}

// What takes a moment is not told.
func TestReplayShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r := newReplay(slog.New(slog.NewTextHandler(&log, nil)), &log, nil)
		r.begin(3*acct.BSDSize, 2)
		r.advance(3)
		r.advance(4) // one was written meanwhile
		r.end()
		if log.Len() > 0 {
			t.Errorf("the log has %s", log.String())
		}
	})
}
