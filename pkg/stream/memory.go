// SPDX-License-Identifier: Apache-2.0

package stream

import "context"

// Memory is a source without a kernel: what is sent comes out, and each mark at
// once ends a drain. It is for tests and for a service without that source.
type Memory[T any] struct{ batches chan *Batch[T] }

// NewMemory returns an empty source.
func NewMemory[T any]() *Memory[T] { return &Memory[T]{make(chan *Batch[T], 16)} }

// Send queues a batch; it blocks while 16 wait.
func (m *Memory[T]) Send(b *Batch[T]) { m.batches <- b }

// Run waits until ctx is done and closes the channel of Batches.
func (m *Memory[T]) Run(ctx context.Context) error {
	<-ctx.Done()
	close(m.batches)
	return nil
}

// Batches returns the channel of what was sent.
func (m *Memory[T]) Batches() <-chan *Batch[T] { return m.batches }

// Release does nothing: batches are the sender's.
func (m *Memory[T]) Release(*Batch[T]) {}

// Mark queues an empty batch that ends the drain n.
func (m *Memory[T]) Mark(n uint64) { m.batches <- &Batch[T]{Barrier: n} }
