// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Nothing is shown in the first half second, then at most five lines a second,
// and nothing is left at the end.
func TestLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := newLine(&out)
		show := func(d time.Duration) (shown int) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Millisecond) { // sleep: in a bubble
				l.Show(func() string { shown++; return "half way" })
			}
			return shown
		}
		if n := show(500 * time.Millisecond); n != 0 || out.Len() > 0 {
			t.Errorf("%d lines at once: %q", n, out.String())
		}
		l.Clear()
		if out.Len() > 0 {
			t.Errorf("what was not shown is cleared: %q", out.String())
		}
		if n := show(time.Second); n != 5 {
			t.Errorf("%d lines in a second, want 5", n)
		}
		l.Clear()
		l.Clear()
		if got, want := out.String(), strings.Repeat("\r\x1b[Khalf way\r", 5)+"\r\x1b[K"; got != want {
			t.Errorf("wrote %q, want %q", got, want)
		}
	})
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		stop := newLine(&out).wait(func() string { return "waiting" })
		time.Sleep(1050 * time.Millisecond) // sleep: in a bubble
		stop()
		if got := out.String(); !strings.Contains(got, "waiting, 1 s") || !strings.HasSuffix(got, "\r\x1b[K") {
			t.Errorf("wrote %q", got)
		}
	})
}

// What is no terminal gets nothing.
func TestNoTerminal(t *testing.T) {
	var out bytes.Buffer
	l := New(&out)
	l.Show(func() string { t.Error("asked for a text"); return "" })
	l.Clear()
	Wait(&out, func() string { return "" })()
	if out.Len() > 0 {
		t.Errorf("wrote %q", out.String())
	}
}

func TestAmount(t *testing.T) {
	if got := Amount(12<<20, 340<<20); got != "12 of 340 MiB (3 %)" {
		t.Error(got)
	}
	if got := Amount(0, 0); got != "0 of 0 MiB (0 %)" {
		t.Error(got)
	}
}
