// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"

	"elsa/pkg/usage"
)

// A block is its magic, the length and the CRC-32C of the payload (4 bytes each), and
// the payload: entries, each with a kind in front.
const (
	blockMagic  = 0x4a42_4c45 // "ELBJ"
	blockHeader = 12
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// The kinds of entries. The first three define what rows of the block name by number,
// in the order of definition.
const (
	kindGroups  = iota // flags, n, n texts
	kindUser           // uid, gid, text
	kindCommand        // text
	kindRow
	kindFix
	kindSettled // seq
	kindLost    // rows, fixes
)

// Flags of a row. The precision is in the lowest two bits.
const (
	flagInferred = 1 << (iota + 2)
	flagExited
	flagStatus     // the status is not 0
	flagPart       // part is not 0
	flagSameParent // as in the row before
)

// scale turns each figure so that what it is a multiple of takes no room: the kernel
// tells memory in KiB and storage in sectors of 512 bytes. Any figure survives it.
var scale = [usage.Measured]int{usage.ReadBytes: 9, usage.WriteBytes: 9, usage.MaxRSS: 10}

// previous is what a row is told as a difference to: the row before in its block.
type previous struct {
	seq                uint64
	end, parentStart   int64
	pid, ppid          int32
	groups, user, comm uint64
}

// Encoder makes blocks. The zero value is ready. It belongs to one goroutine.
type Encoder struct {
	// UserName returns the name of a user, to be asked once for each block; if nil,
	// [Row].User is taken.
	UserName func(uid uint32) string

	out   []byte // blocks, the last one open if begun
	begun bool
	start int // of the open block in out
	prev  previous
	last  struct { // what the last row had, which the next one likely has too
		groups   *Groups
		uid, gid uint32
		comm     [16]byte
	}
	groups   map[*Groups]uint64
	users    map[[2]uint32]uint64
	commands map[[16]byte]uint64
}

// begin opens a block if none is open or the one that is has had enough.
func (e *Encoder) begin() {
	if e.begun && len(e.out)-e.start < blockSize {
		return
	}
	e.Close()
	if e.groups == nil {
		e.groups, e.users, e.commands = map[*Groups]uint64{}, map[[2]uint32]uint64{}, map[[16]byte]uint64{}
	}
	clear(e.groups)
	clear(e.users)
	clear(e.commands)
	e.prev, e.last.groups = previous{}, nil
	e.begun, e.start = true, len(e.out)
	e.out = append(e.out, make([]byte, blockHeader)...)
}

// Close ends the block that is open.
func (e *Encoder) Close() {
	if !e.begun {
		return
	}
	e.begun = false
	b := e.out[e.start:]
	binary.LittleEndian.PutUint32(b, blockMagic)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-blockHeader))
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b[blockHeader:], castagnoli))
}

// Bytes are the blocks since Reset, without the one that is open. They are valid until
// the next call.
func (e *Encoder) Bytes() []byte {
	if e.begun {
		return e.out[:e.start]
	}
	return e.out
}

// Len is how many bytes Bytes will have once the open block is closed.
func (e *Encoder) Len() int { return len(e.out) }

// maxIdle is how much room is kept for the next blocks.
const maxIdle = 1 << 20

// Reset forgets all blocks.
func (e *Encoder) Reset() {
	e.begun, e.out = false, e.out[:0]
	if cap(e.out) > maxIdle {
		e.out = nil
	}
}

// Row adds a row.
func (e *Encoder) Row(r *Row) {
	e.begin()
	e.define(r)
	flags := byte(r.Precision&3) | flag(r.Inferred)*flagInferred | flag(r.Exited)*flagExited |
		flag(r.Status != 0)*flagStatus | flag(r.Part != 0)*flagPart
	if r.PPID == e.prev.ppid && r.ParentStart == e.prev.parentStart {
		flags |= flagSameParent
	}
	b := append(e.out, kindRow, flags)
	b = binary.AppendUvarint(b, r.Seq-e.prev.seq)
	b = binary.AppendUvarint(b, e.prev.groups)
	b = binary.AppendUvarint(b, e.prev.user)
	b = binary.AppendUvarint(b, e.prev.comm)
	b = binary.AppendVarint(b, int64(r.PID)-int64(e.prev.pid))
	b = binary.AppendVarint(b, r.End-e.prev.end)
	b = binary.AppendVarint(b, r.End-r.Start)
	if flags&flagSameParent == 0 {
		b = binary.AppendVarint(b, int64(r.PID)-int64(r.PPID))
		b = binary.AppendVarint(b, r.Start-r.ParentStart)
	}
	if flags&flagPart != 0 {
		b = binary.AppendUvarint(b, uint64(r.Part))
	}
	if flags&flagStatus != 0 {
		b = binary.AppendUvarint(b, uint64(r.Status))
	}
	m := r.Measure
	m[usage.Elapsed] -= uint64(r.End - r.Start) // nearly always nothing
	e.out = appendMeasure(b, &m)
	e.prev.seq, e.prev.pid, e.prev.end, e.prev.ppid, e.prev.parentStart = r.Seq, r.PID, r.End, r.PPID, r.ParentStart
}

// define sees to it that the block has groups, user and command of a row.
func (e *Encoder) define(r *Row) {
	if r.Groups != e.last.groups {
		n, ok := e.groups[r.Groups]
		if !ok {
			n = uint64(len(e.groups))
			e.groups[r.Groups] = n
			e.out = append(e.out, kindGroups, flag(r.Groups.Unattributed))
			names := r.Groups.Names[:min(len(r.Groups.Names), maxGroups)]
			e.out = binary.AppendUvarint(e.out, uint64(len(names)))
			for _, name := range names {
				e.text(name)
			}
		}
		e.prev.groups = n
	}
	if who := [2]uint32{r.UID, r.GID}; e.last.groups == nil || who != [2]uint32{e.last.uid, e.last.gid} {
		n, ok := e.users[who]
		if !ok {
			n = uint64(len(e.users))
			e.users[who] = n
			e.out = append(e.out, kindUser)
			e.out = binary.AppendUvarint(e.out, uint64(r.UID))
			e.out = binary.AppendUvarint(e.out, uint64(r.GID))
			if e.UserName != nil && r.UID != usage.UnknownUID {
				e.text(e.UserName(r.UID))
			} else {
				e.text(r.User)
			}
		}
		e.prev.user = n
	}
	if e.last.groups == nil || r.Comm != e.last.comm {
		n, ok := e.commands[r.Comm]
		if !ok {
			n = uint64(len(e.commands))
			e.commands[r.Comm] = n
			e.out = append(e.out, kindCommand)
			e.out = append(e.out, r.Comm[:]...)
		}
		e.prev.comm = n
	}
	e.last.groups, e.last.uid, e.last.gid, e.last.comm = r.Groups, r.UID, r.GID, r.Comm
}

func (e *Encoder) text(s string) {
	s = s[:min(len(s), maxText)]
	e.out = append(append(e.out, byte(len(s))), s...)
}

// appendMeasure appends which figures are not 0, and those.
func appendMeasure(b []byte, m *usage.Measure) []byte {
	which := uint64(0)
	for f, v := range m {
		if v != 0 {
			which |= 1 << f
		}
	}
	b = binary.AppendUvarint(b, which)
	for f, v := range m {
		if v != 0 {
			b = binary.AppendUvarint(b, bits.RotateLeft64(v, -scale[f]))
		}
	}
	return b
}

// Fix adds a fix.
func (e *Encoder) Fix(f *Fix) {
	e.begin()
	flags := byte(f.Precision & 3)
	if f.Exited {
		flags |= flagExited
	}
	b := append(e.out, kindFix, flags)
	b = binary.AppendUvarint(b, f.Seq)
	b = binary.AppendUvarint(b, uint64(f.Status))
	e.out = appendMeasure(b, &f.Measure)
}

// Settled says that no fix comes for rows up to seq.
func (e *Encoder) Settled(seq uint64) {
	e.begin()
	e.out = binary.AppendUvarint(append(e.out, kindSettled), seq)
}

// Lost says what could not be written.
func (e *Encoder) Lost(l Lost) {
	e.begin()
	e.out = binary.AppendUvarint(append(e.out, kindLost), l.Rows)
	e.out = binary.AppendUvarint(e.out, l.Fixes)
}

func flag(on bool) byte {
	if on {
		return 1
	}
	return 0
}
