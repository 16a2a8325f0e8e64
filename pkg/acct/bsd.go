// SPDX-License-Identifier: Apache-2.0

package acct

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"time"
)

// BSDSize is the size of a line of the accounting file, in bytes: struct acct
// and struct acct_v3 of include/uapi/linux/acct.h.
const BSDSize = 64

// v1Size is the size of a version 1 line: m68k aligns to two bytes.
const v1Size = 62

// errNotRecord says that the bytes are no accounting record the kernel could
// have written.
var errNotRecord = errors.New("decode BSD record: not an accounting record")

const (
	bigEndian = 0x80 // in the version byte: the line's numbers are big-endian
	ahz       = 100  // ticks per second; version 2 names its own
	maxPID    = 1 << 22
	maxTicks  = math.MaxInt64 / (int64(time.Second) / ahz)

	// wrappedTicks is a life time below zero, as encode_float of kernel/acct.c
	// leaves it: the kernel subtracts the start, taken on one CPU, from the time on
	// another as unsigned numbers of 64 bits, and a virtual machine's CPUs may
	// disagree. It is 2^64 ns in ticks of 10 ms, cut to the 24 bits of a float, and
	// so any life time from -18 minutes up.
	wrappedTicks = 1844674297856
)

// DecodeBSD decodes the line of the accounting file that b begins with into r.
// It takes versions 0 to 3 in both byte orders: 64 bytes, but version 1 (m68k)
// 62. It does not allocate.
//
// It fails, always with the same error, and leaves r unchanged, when b is too
// short, of an unknown version, or has what the kernel never writes: this tells
// a record from bytes that are none, and from a record at the wrong offset.
// Flags of a newer kernel pass.
//
// A life time that the kernel computed as less than nothing, which wraps around,
// is zero, and so is the beginning that it computed from that: not known.
//
// Versions 0 to 2 have no pid: PID and PPID are zero. Version 0 is older than
// the mark for the byte order: without it the line is taken for little-endian.
func DecodeBSD(b []byte, r *Record) error {
	if len(b) >= BSDSize && b[1] == 3 {
		return decodeV3((*[BSDSize]byte)(b), r)
	}
	if len(b) < v1Size {
		return errNotRecord
	}
	var buf [BSDSize]byte
	n := copy(buf[:], b)
	version := b[1] &^ bigEndian
	if n < BSDSize && version != 1 || version > 3 {
		return errNotRecord
	}
	if b[1]&bigEndian != 0 {
		swap(&buf, version)
	}
	if version == 3 {
		return decodeV3(&buf, r)
	}
	return decodeOld(&buf, version, r)
}

// decodeV3 decodes struct acct_v3 in little-endian order.
func decodeV3(b *[BSDSize]byte, r *Record) error {
	le := binary.LittleEndian
	exit, mem := le.Uint32(b[4:]), le.Uint16(b[36:])
	pid, ppid := le.Uint32(b[16:]), le.Uint32(b[20:])
	etime := math.Float32frombits(le.Uint32(b[28:]))
	if pid-1 >= maxPID || ppid > maxPID || !padded(b[48:64]) {
		return errNotRecord
	}
	// A wait status has 16 bits. Kernel threads, which have no memory, put
	// anything there before 5.17.
	if exit > math.MaxUint16 && mem != 0 {
		return errNotRecord
	}
	begin := int64(le.Uint32(b[24:]))
	if etime == wrappedTicks {
		etime, begin = 0, 0
	}
	// NaN fails the first comparison, a fraction the last.
	if !(etime >= 0 && etime < float32(maxTicks)) || float32(int64(etime)) != etime {
		return errNotRecord
	}
	const tick = time.Second / ahz
	utime := time.Duration(compValue(le.Uint16(b[32:]))) * tick
	stime := time.Duration(compValue(le.Uint16(b[34:]))) * tick
	*r = Record{} // and not all at once: that builds a copy first and takes 1.6 times as long
	r.Source = BSD
	r.Whole = true
	r.Flags = b[0]
	r.ExitCode = exit
	r.UID = le.Uint32(b[8:])
	r.GID = le.Uint32(b[12:])
	r.PID = int32(pid)
	r.PPID = int32(ppid)
	r.Begin = begin
	r.Elapsed = time.Duration(etime) * tick
	r.User = utime
	r.System = stime
	r.CPU = utime + stime
	r.MinorFaults = compValue(le.Uint16(b[42:]))
	r.MajorFaults = compValue(le.Uint16(b[44:]))
	r.Comm = [16]byte(b[48:])
	return nil
}

// oldLayout is where struct acct keeps what its versions keep apart.
type oldLayout struct {
	size                                   int
	ahz, exit, comm, etimeHi, etimeLo, uid int // 0: not there
}

// The versions of struct acct, by number.
var oldLayouts = [3]oldLayout{
	{size: 64, exit: 32, comm: 36},
	{size: 62, exit: 30, comm: 34, etimeHi: 51, etimeLo: 52, uid: 54},
	{size: 64, ahz: 30, exit: 32, comm: 36, etimeHi: 53, etimeLo: 54, uid: 56},
}

// decodeOld decodes struct acct in little-endian order.
func decodeOld(b *[BSDSize]byte, version byte, r *Record) error {
	le, at := binary.LittleEndian, oldLayouts[version]
	hz := uint16(ahz)
	if at.ahz != 0 {
		hz = le.Uint16(b[at.ahz:])
	}
	exit, mem := le.Uint32(b[at.exit:]), le.Uint16(b[18:])
	if hz == 0 || exit > math.MaxUint16 && mem != 0 || !padded(b[at.comm:at.comm+17]) {
		return errNotRecord
	}
	uid, gid := uint32(le.Uint16(b[2:])), uint32(le.Uint16(b[4:]))
	etime := compValue(le.Uint16(b[16:]))
	begin := le.Uint32(b[8:])
	if at.uid != 0 {
		uid, gid = le.Uint32(b[at.uid:]), le.Uint32(b[at.uid+4:])
		c := uint32(b[at.etimeHi])<<16 | uint32(le.Uint16(b[at.etimeLo:]))
		etime = comp2Value(c)
		if c == comp2Code(wrappedIn(hz)) {
			etime, begin = 0, 0
		}
	} else if begin == 0 || le.Uint64(b[56:]) != 0 || le.Uint32(b[53:]) != 0 {
		return errNotRecord // nothing else tells version 0 from a hole in the file
	}
	utime, ok1 := ticksTime(compValue(le.Uint16(b[12:])), hz)
	stime, ok2 := ticksTime(compValue(le.Uint16(b[14:])), hz)
	elapsed, ok3 := ticksTime(etime, hz)
	if !ok1 || !ok2 || !ok3 || utime+stime < 0 {
		return errNotRecord
	}
	*r = Record{
		Source:      BSD,
		Whole:       true,
		Flags:       b[0],
		ExitCode:    exit,
		UID:         uid,
		GID:         gid,
		Begin:       int64(begin),
		Elapsed:     elapsed,
		User:        utime,
		System:      stime,
		CPU:         utime + stime,
		MinorFaults: compValue(le.Uint16(b[24:])),
		MajorFaults: compValue(le.Uint16(b[26:])),
		Comm:        [16]byte(b[at.comm:]),
	}
	return nil
}

// wrappedIn is 2^64 ns in ticks, hz to the second.
func wrappedIn(hz uint16) uint64 {
	n, _ := bits.Div64(uint64(hz), 0, uint64(time.Second))
	return n
}

// padded tells whether a command name is as the kernel writes it: nothing but
// NUL after the first NUL.
func padded(b []byte) bool {
	lo, hi := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:16])
	// The lowest bit set in z marks the first zero byte.
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	if z := (lo - ones) &^ lo & tops; z != 0 {
		return hi == 0 && lo>>(bits.TrailingZeros64(z)&^7) == 0 && last(b) == 0
	}
	if z := (hi - ones) &^ hi & tops; z != 0 {
		return hi>>(bits.TrailingZeros64(z)&^7) == 0 && last(b) == 0
	}
	return true
}

// last is the byte after the first 16, struct acct's ac_comm having 17.
func last(b []byte) byte {
	if len(b) > 16 {
		return b[16]
	}
	return 0
}

// Version returns the version number of a line of the accounting file, without
// the mark for its byte order. It does not look whether the line is a record.
func Version(line *[BSDSize]byte) int { return int(line[1] &^ bigEndian) }

// HasPID tells whether a line is of a version that names its process, as only
// version 3 does.
func HasPID(line *[BSDSize]byte) bool { return Version(line) == 3 }

// IsCaller tells whether a line of version 3 is about the living caller of
// acct(2), which gets one in the file that it switches accounting away from. It
// is no death. ac_mem is set at a process's death, so it is zero there, and else
// only for kernel threads, which never executed anything (AFORK).
func IsCaller(line *[BSDSize]byte) bool {
	return line[36] == 0 && line[37] == 0 && line[0]&FlagFork == 0
}

// swap turns the numbers of a line around in place.
func swap(b *[BSDSize]byte, version byte) {
	switch version {
	case 3:
		turn(b[2:4], 2)
		turn(b[4:32], 4)
		turn(b[32:48], 2)
		return
	}
	at := oldLayouts[version]
	turn(b[2:8], 2)
	turn(b[8:12], 4)
	turn(b[12:30], 2)
	turn(b[at.exit:at.exit+4], 4)
	if at.ahz != 0 {
		turn(b[at.ahz:at.ahz+2], 2)
	}
	if at.uid != 0 {
		turn(b[at.etimeLo:at.etimeLo+2], 2)
		turn(b[at.uid:at.uid+8], 4)
	}
}

// turn reverses each n bytes of b.
func turn(b []byte, n int) {
	for ; len(b) >= n; b = b[n:] {
		for i, j := 0, n-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
	}
}
