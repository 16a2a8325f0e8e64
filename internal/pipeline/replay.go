// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"elsa/internal/progress"
	"elsa/pkg/acct"
)

// replay tells how far the replay of the ledger at the start is: on a terminal
// by a line, elsewhere in the log, and to systemd, which would end a service
// that does not get ready in time. A nil replay tells nothing.
type replay struct {
	log    *slog.Logger
	line   *progress.Line
	notify func(string)

	total int64 // bytes of the backlog
	work  int64 // the same, for each time it is read
	done  int64 // of work
	began time.Time
	next  time.Time
	told  bool // in the log
}

const (
	replayInterval = 5 * time.Second
	// replayExtension is how long systemd is asked to wait for the next word.
	replayExtension = time.Minute
)

func newReplay(log *slog.Logger, terminal io.Writer, notify func(string)) *replay {
	if notify == nil {
		notify = func(string) {}
	}
	return &replay{log: log, line: progress.New(terminal), notify: notify}
}

// begin says that so many bytes are to be read, so many times.
func (r *replay) begin(bytes int64, times int64) {
	if r == nil {
		return
	}
	r.total, r.work = bytes, bytes*times
	r.began = time.Now()
	r.next = r.began.Add(replayInterval)
	r.tell()
}

// advance says that a number of lines was read.
func (r *replay) advance(lines int) {
	if r == nil || r.work == 0 {
		return
	}
	r.done = min(r.done+int64(lines)*acct.BSDSize, r.work)
	r.line.Show(func() string { return "elsad: replaying accounting, " + progress.Amount(r.read(), r.total) })
	if now := time.Now(); !now.Before(r.next) {
		r.next = now.Add(replayInterval)
		if r.line == nil {
			r.told = true
			r.log.Info("replaying accounting backlog", "done", r.read(), "bytes", r.total)
		}
		r.tell()
	}
}

// read is how much of the backlog is done.
func (r *replay) read() int64 { return r.done / (r.work / r.total) }

func (r *replay) tell() {
	r.notify(fmt.Sprintf("STATUS=Replaying accounting: %s\nEXTEND_TIMEOUT_USEC=%d", progress.Amount(r.read(), r.total), replayExtension.Microseconds()))
}

func (r *replay) end() {
	if r == nil || r.work == 0 {
		return
	}
	r.line.Clear()
	if r.told {
		r.log.Info("accounting backlog replayed", "bytes", r.total, "took", time.Since(r.began).Round(time.Second))
	}
}
