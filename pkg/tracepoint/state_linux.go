// SPDX-License-Identifier: Apache-2.0

package tracepoint

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The programs and the reader share one value of a map: words of 8 bytes, at these
// offsets. What is counted is added atomically: it is exact, whatever CPU the programs
// run on, and it is touched only when the ring is full.
const (
	stateAwake         = 0  // ring the bell with the next event
	stateAwakeReleases = 8  // or with the next release
	stateLostEvents    = 16 // events that found the ring full
	stateLostReleases  = 24 // releases of tasks that did
	stateLostProcesses = 32 // those of them that led a process
	stateLostCPU       = 40 // what their tasks ran, ns
	stateBytes         = 64
)

// state is that value, mapped.
type state struct{ page []byte }

func openState(fd int) (*state, error) {
	page, err := unix.Mmap(fd, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map state of programs: %w", err)
	}
	return &state{page}, nil
}

func (s *state) at(offset int) *uint64 { return (*uint64)(unsafe.Pointer(&s.page[offset])) }

func (s *state) load(offset int) uint64         { return atomic.LoadUint64(s.at(offset)) }
func (s *state) store(offset int, value uint64) { atomic.StoreUint64(s.at(offset), value) }

func (s *state) close() error { return unix.Munmap(s.page) }
