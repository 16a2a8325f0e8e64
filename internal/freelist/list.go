// SPDX-License-Identifier: Apache-2.0

// Package freelist keeps values that are no longer needed for those that will
// be, so that what comes and goes all the time allocates nothing.
package freelist

// List is a list of values to be used again. Its zero value is empty and ready.
// It is for one goroutine, and never shrinks: it is bounded by what its owner
// had in use at once.
type List[T any] struct{ free []*T }

// Get takes a value out of l, as it was put there, or makes a zero one.
func (l *List[T]) Get() *T {
	n := len(l.free)
	if n == 0 {
		return new(T)
	}
	v := l.free[n-1]
	l.free = l.free[:n-1]
	return v
}

// Put gives v to l. The caller keeps no pointer to it.
func (l *List[T]) Put(v *T) { l.free = append(l.free, v) }
