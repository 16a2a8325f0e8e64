// SPDX-License-Identifier: Apache-2.0

// Package stream carries what the kernel says at high rate: batches of items,
// the loss that happened before them, and barriers.
//
// A barrier is how two streams are put in order. The consumer calls
// [Source.Mark] with a number; the source then reads until the kernel has
// nothing queued, delivers all of it, and delivers a batch that carries the
// number. Everything the kernel had queued when Mark was called is thus in the
// consumer's hands once it sees the number. No timeouts are involved.
package stream

import (
	"context"
	"time"
)

// Cursor is how far a source was read that a later run can go on with. A source that
// ends with its run has none: all is zero.
type Cursor struct {
	// Position is behind the last item: it grows by what is read, in bytes.
	Position uint64
	// Lost is how much was delivered as lost, ever.
	Lost uint64
	// Processes and CPU are the ends of processes among that, and the CPU time of
	// what ended, as far as they are known in sum.
	Processes uint64        `json:",omitempty"`
	CPU       time.Duration `json:",omitempty"`
}

// Batch is what a source delivers at once. Its slices belong to the consumer
// until it hands the batch back with [Source.Release].
type Batch[T any] struct {
	// Items in the order the kernel queued them.
	Items []T
	// Lost counts the items that the kernel or the source is known to have
	// dropped since the previous batch. Zero means none, not unknown.
	Lost uint64
	// Rejected counts messages that arrived and were not items: forged,
	// truncated or malformed. They are never delivered.
	Rejected uint64
	// Barrier is the number last given to Mark when this batch ends a drain,
	// and zero otherwise. It never decreases among non-zero values.
	Barrier uint64
	// At is where the source was after this batch.
	At Cursor
}

// Reset empties b for reuse and keeps its memory.
func (b *Batch[T]) Reset() {
	b.Items = b.Items[:0]
	b.Lost, b.Rejected, b.Barrier, b.At = 0, 0, 0, Cursor{}
}

// Source is a stream of T with one producer, its Run, and one consumer.
type Source[T any] interface {
	// Run reads until ctx is done (then it returns nil) or the source fails.
	// It sends on the channel of Batches and blocks while that is full, so
	// back pressure reaches the kernel's buffer and no item is dropped here.
	// Run must be called once. It closes the channel when it returns.
	Run(ctx context.Context) error
	// Batches is where Run delivers. The channel is the same on every call.
	Batches() <-chan *Batch[T]
	// Release hands a batch back for reuse. Safe from any goroutine. Every
	// batch must be released, once: a source has a fixed number of them, and
	// waits when the consumer holds all.
	Release(*Batch[T])
	// Mark asks for a drain and a batch with Barrier >= n. It does not block,
	// and is safe from any goroutine. n must be positive and increasing.
	Mark(n uint64)
}
