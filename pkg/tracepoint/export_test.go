// SPDX-License-Identifier: Apache-2.0

package tracepoint

// SetWindow sets how much of a ring that is opened next is mapped, a power of two of
// pages, and returns what it was.
func SetWindow(bytes uint64) (was uint64) {
	was, windowBytes = windowBytes, bytes
	return was
}
