// SPDX-License-Identifier: Apache-2.0

package taskrelease

import (
	"os"
	"sync/atomic"
	"time"

	"elsa/pkg/acct"
	"elsa/pkg/tracepoint"
)

// hold bounds how long the record of a process waits for those of its threads that the
// kernel frees after the process itself.
const hold = 200 * time.Millisecond

// Decoder makes one [acct.Record] of the samples of each process, with the CPU time
// that the scheduler measured, after the process was reaped and the kernel freed its
// last task. It is a [elsa/pkg/tracepoint.Decoder].
//
// The samples come from a BPF program at the tracepoint sched_process_free,
// on any kernel from 5.8 that has type information and from any namespace.
// Pids are those of the initial pid namespace. While nothing ends, nothing
// runs; it allocates nothing per record.
//
// A record comes some 20 ms after the reap, once RCU has let go of the task, and
// later on a busy machine; a zombie has none. So an orphan's waits for init. A
// death may also have no record and no Lost: there are guest kernels that run no
// BPF program on top of process 1, and leave out what is freed there.
//
// MaxRSS is what wait4(2) says. It includes what the process held before it
// executed its program, so a child made by vfork starts with its parent's.
type Decoder struct {
	missing []string
	join    *sampleJoin
	origin  time.Time
	partial atomic.Uint64
}

// NewDecoder returns a decoder for one source.
func NewDecoder() *Decoder {
	return &Decoder{join: newSampleJoin(os.Getpagesize(), hold), origin: time.Now()}
}

// Kind implements [elsa/pkg/tracepoint.Decoder].
func (d *Decoder) Kind() tracepoint.Kind { return tracepoint.Release }

// Programs implements [elsa/pkg/tracepoint.Decoder].
func (d *Decoder) Programs() ([]tracepoint.Program, error) {
	types, err := tracepoint.KernelTypes(fromTask, fromSignal, fromCred)
	if err != nil {
		return nil, err
	}
	program, missing, err := newProgram(types)
	d.missing = missing
	return []tracepoint.Program{program}, err
}

// Add implements [elsa/pkg/tracepoint.Decoder].
func (d *Decoder) Add(records []acct.Record, sample []byte, at uint64) ([]acct.Record, bool) {
	return d.join.add(records, sample, at, d.now())
}

// Expire implements [elsa/pkg/tracepoint.Decoder]: it gives up waiting for threads
// whose time is over.
func (d *Decoder) Expire(records []acct.Record) []acct.Record {
	records = d.join.expire(records, d.now())
	d.partial.Store(d.join.incomplete)
	return records
}

// Holding implements [elsa/pkg/tracepoint.Decoder]: processes wait for their threads.
func (d *Decoder) Holding() (at uint64, some bool) { return d.join.oldest() }

// Missing names the kernel's fields that this kernel does not have. They are
// zero in all records.
func (d *Decoder) Missing() []string { return d.missing }

// Incomplete returns for how many processes, so far, the figures of some thread
// did not come in time. Their records hold what is known: the CPU time of those
// threads without what came after the scheduler's last tick, and none of their
// I/O. Safe from any goroutine.
func (d *Decoder) Incomplete() uint64 { return d.partial.Load() }

// now is a monotonic clock.
func (d *Decoder) now() int64 { return int64(time.Since(d.origin)) }
