// SPDX-License-Identifier: Apache-2.0

// Package journal is the file in which the service writes a row for each process
// that ended, and for each part of a life that was billed when the process changed
// groups.
//
// A journal is a directory of numbered segments. A segment is a header and blocks; a
// block has a checksum and can be read without any other. In the blocks are rows;
// fixes, which are better figures for an earlier row; marks that say up to which
// row no fix comes any more; and what was lost. All integers of headers are
// little-endian, those of entries are varints as in encoding/binary.
//
// Whoever writes a journal stores its [Position] together with what the rows are
// the account of, and opens it at that position: what is beyond it is cut off.
// Readers see what was committed, at any time and without a lock.
package journal

import (
	"errors"
	"fmt"

	"elsa/pkg/usage"
)

// Row is one process that ended, or a part of its life. Times of the wall clock are
// nanoseconds since 1970, UTC.
type Row struct {
	// Seq numbers the rows of a source, ascending, from 1. A number is used once; one
	// that is missing was lost.
	Seq uint64
	// Part is 0 for the end of a process, with what it used since it last changed
	// groups, and more for what it had used when it did: 1 the first time.
	Part uint32
	PID  int32
	// PPID is the process that forked it. 0: not known.
	PPID int32
	// Start and End are when the process began and ended; a part ended when the
	// process changed groups. ParentStart is when the process PPID began, 0 if not known.
	Start, End, ParentStart int64
	// Groups are those it was in. Never nil.
	Groups *Groups
	// UID and GID are the real ids at death, [usage.UnknownUID] where no record told
	// them; User is the name that the user had then, or the number.
	UID, GID uint32
	User     string
	// Comm is the command name, NUL padded.
	Comm [16]byte
	// Status is the exit status as wait(2) reports it, code<<8 | signal, if Exited: a
	// record told it.
	Status uint32
	Exited bool
	// Measure is what was billed by the row.
	Measure usage.Measure
	// Precision is how well the CPU time is known.
	Precision Precision
	// Inferred: the membership was found after loss.
	Inferred bool
}

// Precision is how well the CPU time of a row is known.
type Precision uint8

// The precisions, worst first. Part is that of a row that is no death.
const (
	Rounded Precision = iota
	Sampled
	Exact
	Partial
)

// String is the name in tables and files.
func (p Precision) String() string {
	if p <= Partial {
		return [...]string{"rounded", "sampled", "exact", "partial"}[p]
	}
	return "unknown"
}

// Groups are the groups of a row, by name in the order of the group ids. A writer that
// has one of them for many rows gives the same pointer: it is told apart by that.
type Groups struct {
	Names []string
	// Unattributed: loss hides to which groups the process belongs.
	Unattributed bool
}

// Fix is what is known better of an earlier row. It takes the place of the row's
// figures; a later fix takes that of an earlier one.
type Fix struct {
	Seq       uint64
	Measure   usage.Measure
	Precision Precision
	Status    uint32
	Exited    bool
}

// Apply puts the figures of the fix in the place of those of its row.
func (f *Fix) Apply(r *Row) {
	r.Measure, r.Precision = f.Measure, f.Precision
	if f.Exited {
		r.Status, r.Exited = f.Status, true
	}
}

// Lost says what could not be written: rows that are missing, and fixes.
type Lost struct{ Rows, Fixes uint64 }

// Bounds of a segment and of what is in it.
const (
	// MaxRows is how many rows a segment has at most.
	MaxRows = 65000
	// MaxSegment is beyond what a segment gets no further block, bytes.
	MaxSegment = 16 << 20
	// blockSize is beyond what a block gets no further entry, and maxBlock what none
	// exceeds: an entry with its definitions is some 17 KiB at most.
	blockSize = 40 << 10
	maxBlock  = 64 << 10
	// maxGroups and maxText bound what an entry defines.
	maxGroups = 64
	maxText   = 255
)

// Damage is a stretch of a segment that cannot be read. Reading goes on after it.
type Damage struct {
	Segment uint64
	At, End int64 // bytes from the beginning of the file
	Cause   error
}

func (d *Damage) Error() string {
	return fmt.Sprintf("read journal segment %d: bytes %d to %d are damaged: %v", d.Segment, d.At, d.End, d.Cause)
}

// Unwrap is the cause.
func (d *Damage) Unwrap() error { return d.Cause }

var (
	errChecksum = errors.New("wrong checksum")
	errEntry    = errors.New("malformed entry")
	errBlock    = errors.New("no block begins here")
)

// Position is how far a journal is: the segment, and how many bytes of it. The zero
// value is before the first.
type Position struct {
	Segment uint64
	Length  int64
	// Source is the id of its rows, where that is not the database's own.
	Source [16]byte `json:",omitzero"`
}
