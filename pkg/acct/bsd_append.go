// SPDX-License-Identifier: Apache-2.0

package acct

import "encoding/binary"

// AppendBSD appends r to b as the line a little-endian kernel with
// CONFIG_BSD_PROCESS_ACCT_V3 writes for it, and returns the extended slice.
// Times are cut to ticks of 10 ms and counters rounded as the kernel does. What
// a record does not say is zero, except the memory: it is 1 KiB, for zero marks
// a line as that of a living process.
//
// [DecodeBSD] of the line gives r, if r came from DecodeBSD of a version 3 line.
func AppendBSD(b []byte, r *Record) []byte { return appendBSD(b, r, 3, ahz) }

// appendBSD appends a line of any version; version may have the bit for
// big-endian order, hz matters to version 2.
func appendBSD(b []byte, r *Record, version byte, hz uint16) []byte {
	var l [BSDSize]byte
	le := binary.LittleEndian
	l[0], l[1] = r.Flags, version
	version &^= bigEndian
	size := BSDSize
	if version == 3 {
		le.PutUint32(l[4:], r.ExitCode)
		le.PutUint32(l[8:], r.UID)
		le.PutUint32(l[12:], r.GID)
		le.PutUint32(l[16:], uint32(r.PID))
		le.PutUint32(l[20:], uint32(r.PPID))
		le.PutUint32(l[24:], uint32(r.Begin))
		le.PutUint32(l[28:], floatCode(timeTicks(r.Elapsed, ahz)))
		le.PutUint16(l[32:], compCode(timeTicks(r.User, ahz)))
		le.PutUint16(l[34:], compCode(timeTicks(r.System, ahz)))
		if r.ExitCode <= 0xffff {
			le.PutUint16(l[36:], 1)
		}
		le.PutUint16(l[42:], compCode(r.MinorFaults))
		le.PutUint16(l[44:], compCode(r.MajorFaults))
		copy(l[48:], r.Comm[:])
	} else {
		at := oldLayouts[version]
		if at.ahz == 0 {
			hz = ahz
		} else {
			le.PutUint16(l[at.ahz:], hz)
		}
		elapsed := timeTicks(r.Elapsed, hz)
		le.PutUint16(l[2:], uint16(r.UID))
		le.PutUint16(l[4:], uint16(r.GID))
		le.PutUint32(l[8:], uint32(r.Begin))
		le.PutUint16(l[12:], compCode(timeTicks(r.User, hz)))
		le.PutUint16(l[14:], compCode(timeTicks(r.System, hz)))
		le.PutUint16(l[16:], compCode(elapsed))
		if r.ExitCode <= 0xffff {
			le.PutUint16(l[18:], 1)
		}
		le.PutUint16(l[24:], compCode(r.MinorFaults))
		le.PutUint16(l[26:], compCode(r.MajorFaults))
		le.PutUint32(l[at.exit:], r.ExitCode)
		copy(l[at.comm:], r.Comm[:])
		if at.uid != 0 {
			c := comp2Code(elapsed)
			l[at.etimeHi] = byte(c >> 16)
			le.PutUint16(l[at.etimeLo:], uint16(c))
			le.PutUint32(l[at.uid:], r.UID)
			le.PutUint32(l[at.uid+4:], r.GID)
		}
		size = at.size
	}
	if l[1]&bigEndian != 0 {
		swap(&l, version)
	}
	return append(b, l[:size]...)
}
