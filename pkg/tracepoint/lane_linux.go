// SPDX-License-Identifier: Apache-2.0

package tracepoint

import (
	"context"
	"time"

	"elsa/pkg/stream"
)

// Decoder makes items of the samples of some programs. It is called in the goroutine
// that reads the ring.
type Decoder[T any] interface {
	// Kind is what the programs write.
	Kind() Kind
	// Programs writes the programs for the running kernel, in the order in which they
	// are to be attached.
	Programs() ([]Program, error)
	// Add takes a sample, which began at a position in the ring, and appends what it
	// completes to items. ok is false when it is none of the programs'.
	Add(items []T, sample []byte, at uint64) (_ []T, ok bool)
	// Expire appends what waits for too long for a sample to items, once all samples
	// are read.
	Expire(items []T) []T
	// Holding returns where the first sample began that Add holds back.
	Holding() (at uint64, some bool)
}

// Lane is the stream of what some programs tell. It is a [stream.Source]; all lanes
// of a [Source] are read by one goroutine, that of the first Run, and end with it.
type Lane[T any] struct {
	*stream.Outlet[T]
	decode Decoder[T]
	source *Source
	// start is where an earlier run ended: samples before are known.
	start stream.Cursor
	// told is what was delivered as lost.
	told stream.Cursor
	// from and to are the lane's programs among the source's.
	from, to int
	missed   uint64 // how often they did not run, as read last
	looked   time.Time
}

const (
	batchItems = 1024 // in a batch
	takeItems  = 64   // at a time: what comes meanwhile, and the end of the context, is seen then
	queue      = 16   // batches in circulation
)

// NewLane returns a lane for [Open], or with the cursor of another run for [Resume].
func NewLane[T any](d Decoder[T], start stream.Cursor) *Lane[T] {
	l := &Lane[T]{decode: d, start: start, told: start}
	l.Outlet = stream.NewOutlet(stream.OutletOptions{Take: 2 * takeItems, Items: batchItems, Queue: queue}, l.finish)
	return l
}

// lane is a Lane of any type.
type lane interface {
	of(s *Source, from int) (programs []Program, err error)
	outlet() stream.AnyOutlet
	begin() stream.Cursor
	kind() Kind
	add(sample []byte, at uint64) bool
	reject()
	expire()
	holding() bool
}

func (l *Lane[T]) of(s *Source, from int) ([]Program, error) {
	written, err := l.decode.Programs()
	l.source, l.from, l.to = s, from, from+len(written)
	return written, err
}

func (l *Lane[T]) outlet() stream.AnyOutlet { return l.Outlet }
func (l *Lane[T]) begin() stream.Cursor     { return l.start }
func (l *Lane[T]) kind() Kind               { return l.decode.Kind() }
func (l *Lane[T]) holding() bool            { _, some := l.decode.Holding(); return some }
func (l *Lane[T]) reject()                  { l.Batch().Rejected++ }

func (l *Lane[T]) add(sample []byte, at uint64) (ok bool) {
	b := l.Batch()
	if at < l.start.Position {
		return false // before the source began again; another lane is not as far
	}
	b.Items, ok = l.decode.Add(b.Items, sample, at)
	return ok
}

func (l *Lane[T]) expire() {
	b := l.Batch()
	b.Items = l.decode.Expire(b.Items)
}

// missesEvery is how often it is looked for programs that did not run.
const missesEvery = time.Second

// finish counts in a batch what was lost since the last one.
func (l *Lane[T]) finish(b *stream.Batch[T]) error {
	s := l.source
	if now := time.Now(); now.Sub(l.looked) >= missesEvery {
		l.missed, l.looked = s.programs.misses(l.from, l.to), now
	}
	at := stream.Cursor{Lost: l.missed}
	switch l.decode.Kind() {
	case Event:
		at.Lost += s.state.load(stateLostEvents)
	case Release:
		at.CPU = time.Duration(s.state.load(stateLostCPU)) // last written, first read
		at.Processes = s.state.load(stateLostProcesses)
		at.Lost += s.state.load(stateLostReleases)
	}
	b.Lost += at.Lost - l.told.Lost
	l.told = at
	at.Position = s.ring.pos
	if held, some := l.decode.Holding(); some {
		at.Position = min(at.Position, held)
	}
	b.At = at
	return nil
}

// Run implements [stream.Source]. The first call for any lane of a source reads for
// all of them; the others return when it does. The programs are detached then, unless
// their handles are kept.
func (l *Lane[T]) Run(ctx context.Context) error { return l.source.Run(ctx) }
