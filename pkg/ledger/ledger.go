// SPDX-License-Identifier: Apache-2.0

// Package ledger keeps or follows the BSD accounting file, acct(2) and acct(5),
// to which the kernel writes one line per process that ended, also while nobody
// reads. It says what is between two positions, forward and backward, over
// rotations and restarts, and counts what is missing.
//
// Accounting can go to one file on the whole machine: [Own] takes it, [Follow]
// reads what another program has the kernel write.
package ledger

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"

	"elsa/pkg/acct"
)

// Ledger is an accounting file the kernel writes to, or the chain of files it
// went through: [Owned] segments, or a file of another program's that a
// [Follower] reads. It hands out the lines of dead processes in the order the
// kernel wrote them, as records of version 3; the versions without a pid, and
// the lines that acct(2) writes for its living caller, are counted and left out.
//
// A Ledger is for two goroutines: Release and Rotate change files, which takes as long
// as the disk takes, and may be called in another one than all the rest. Close is for
// when both have ended. No method waits for records to come; they only do file I/O.
type Ledger interface {
	// End is the position behind the last whole record on file now. A process
	// whose death was announced by the process connector before the call has
	// its record before End, since the kernel writes that first.
	End() (Position, error)

	// Read decodes what is between two positions and hands it to f in batches,
	// each valid during the call only. The zero Position is the beginning. It
	// returns the position behind the last batch that f took: to, or a little
	// before it where the bytes are no whole record yet. An error of f ends it
	// and is returned.
	//
	// Skipped counts what was met on the way, once; it is to be kept together
	// with the position, also when there is an error.
	Read(from, to Position, f func([]acct.Record) error) (Position, Skipped, error)

	// ReadBackward hands the same records to f last first, in batches that
	// begin with the latest. It counts nothing and moves nothing.
	ReadBackward(from, to Position, f func([]acct.Record) error) error

	// Backlog is the number of bytes between two positions.
	Backlog(from, to Position) int64

	// Release says that everything before pos is kept elsewhere for good. What
	// belongs to the ledger and is wholly before pos is deleted.
	Release(pos Position) error

	// Rotate goes over to a new file, if the current one is large enough and is
	// the ledger's to leave. To be called now and then.
	Rotate() error

	// Path is the file last written to, as a hint for people and for
	// [SpaceState].
	Path() string

	// Close puts accounting back as it was found and frees what the ledger
	// holds. Files not yet released stay.
	Close() error
}

// Position is a place between two records of a ledger. It stays true over
// restarts and rotations. Positions of one ledger can be compared by == and by
// [Position.Compare]. The zero Position is before all others.
type Position struct {
	// Segment numbers the files in the order the kernel went through them,
	// from 1. A number is not used again.
	Segment uint64
	// Offset is in bytes from the file's beginning.
	Offset int64
	// Device and Inode identify the file, st_dev and st_ino.
	Device, Inode uint64
	// Sum is a checksum of the line before Offset, or of the first line if
	// Offset is zero; it tells a file that was truncated and grew again. Zero
	// where the file cannot change behind the ledger's back.
	Sum uint32
}

// Compare orders positions by segment and offset, like [cmp.Compare].
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Segment, q.Segment), cmp.Compare(p.Offset, q.Offset))
}

// IsZero tells whether p is the zero Position.
func (p Position) IsZero() bool { return p == Position{} }

// String is for people: "segment 3, byte 640".
func (p Position) String() string { return fmt.Sprintf("segment %d, byte %d", p.Segment, p.Offset) }

// The binary form: a version, then the fields in big-endian order, so that
// positions of a ledger sort as their forms do.
const (
	positionVersion = 1
	positionSize    = 1 + 4*8 + 4
)

// AppendBinary appends the binary form of p to b. The error is always nil.
func (p Position) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, positionVersion)
	b = binary.BigEndian.AppendUint64(b, p.Segment)
	b = binary.BigEndian.AppendUint64(b, uint64(p.Offset))
	b = binary.BigEndian.AppendUint64(b, p.Device)
	b = binary.BigEndian.AppendUint64(b, p.Inode)
	return binary.BigEndian.AppendUint32(b, p.Sum), nil
}

// MarshalBinary returns the binary form of p. The error is always nil.
func (p Position) MarshalBinary() ([]byte, error) {
	return p.AppendBinary(make([]byte, 0, positionSize))
}

// UnmarshalBinary reads the form MarshalBinary made. On error p is unchanged.
func (p *Position) UnmarshalBinary(b []byte) error {
	if len(b) != positionSize || b[0] != positionVersion {
		return fmt.Errorf("decode position: %d bytes of an unknown form", len(b))
	}
	be := binary.BigEndian
	q := Position{
		Segment: be.Uint64(b[1:]),
		Offset:  int64(be.Uint64(b[9:])),
		Device:  be.Uint64(b[17:]),
		Inode:   be.Uint64(b[25:]),
		Sum:     be.Uint32(b[33:]),
	}
	if q.Offset < 0 {
		return errors.New("decode position: negative offset")
	}
	*p = q
	return nil
}

// Skipped counts what a ledger held, or should have held, and was not handed
// out as a record.
type Skipped struct {
	// Bytes were no record: torn lines, lines of versions without a pid, what
	// others wrote to the file.
	Bytes uint64
	// Lost records are known to have been written and were gone before they
	// could be read.
	Lost uint64
	// Gaps are the times that records may be missing, their number unknown:
	// accounting was off, or a file was truncated or is gone.
	Gaps uint64
	// Callers are the lines of living callers of acct(2). They are no deaths,
	// and nothing is missing for them.
	Callers uint64
}

// Add adds t to s.
func (s *Skipped) Add(t Skipped) {
	s.Bytes += t.Bytes
	s.Lost += t.Lost
	s.Gaps += t.Gaps
	s.Callers += t.Callers
}
