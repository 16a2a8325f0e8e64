// SPDX-License-Identifier: Apache-2.0

// Package progress shows on a terminal how far a long task is.
package progress

import (
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

const (
	after = 500 * time.Millisecond // a task that takes less shows nothing
	every = 200 * time.Millisecond // how often the line is rewritten
)

// Line is one line of a terminal that is rewritten. A nil Line shows nothing. It
// is for one goroutine at a time.
type Line struct {
	w     io.Writer
	next  time.Time
	shown bool
}

// New returns a line on w; nil when w is no terminal.
func New(w io.Writer) *Line {
	f, ok := w.(interface{ Fd() uintptr })
	if !ok {
		return nil
	}
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
		return nil
	}
	return newLine(w)
}

func newLine(w io.Writer) *Line { return &Line{w: w, next: time.Now().Add(after)} }

// Show writes what text returns, if it is time: not in the first half second,
// and five times a second at most. The cursor stays in front of it, so that
// what others print takes its place. text should fit into 79 columns.
func (l *Line) Show(text func() string) {
	if l == nil {
		return
	}
	if now := time.Now(); !now.Before(l.next) {
		l.next, l.shown = now.Add(every), true
		fmt.Fprintf(l.w, "\r\x1b[K%s\r", text())
	}
}

// Clear takes the line away.
func (l *Line) Clear() {
	if l != nil && l.shown {
		io.WriteString(l.w, "\r\x1b[K")
		l.shown = false
	}
}

// Wait shows text with the time that has passed, on w if that is a terminal,
// until stop is called.
func Wait(w io.Writer, text func() string) (stop func()) {
	return New(w).wait(text)
}

func (l *Line) wait(text func() string) (stop func()) {
	if l == nil {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	began := time.Now()
	go func() {
		defer close(done)
		defer l.Clear()
		tick := time.NewTicker(every / 2)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				l.Show(func() string { return fmt.Sprintf("%s, %.0f s", text(), time.Since(began).Seconds()) })
			}
		}
	}()
	return func() { close(quit); <-done }
}

// Amount says how much of something is done: "12 of 340 MiB (3 %)".
func Amount(done, total int64) string {
	const mib = 1 << 20
	return fmt.Sprintf("%d of %d MiB (%d %%)", done/mib, total/mib, 100*done/max(total, 1))
}
