// SPDX-License-Identifier: Apache-2.0

//go:build vm

// Package suite tests the kernel patches from inside the test machine. It
// shares no code with the packages that read the same events and records: it
// is the second opinion on them. Without the build tag vm it is empty, since
// only a patched kernel can pass it.
package suite
