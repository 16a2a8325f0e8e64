// SPDX-License-Identifier: Apache-2.0

// Package taskstats receives what the kernel's TASKSTATS family of generic
// netlink sends when a thread ends, include/uapi/linux/taskstats.h, and makes of
// it one record per process: CPU time in microseconds, memory, I/O and delays.
package taskstats

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"elsa/pkg/acct"
)

// The TASKSTATS generic netlink family, include/uapi/linux/taskstats.h.
const (
	familyName     = "TASKSTATS"
	cmdGet         = 1 // TASKSTATS_CMD_GET
	cmdNew         = 2 // TASKSTATS_CMD_NEW
	attrRegister   = 3 // TASKSTATS_CMD_ATTR_REGISTER_CPUMASK
	attrDeregister = 4 // TASKSTATS_CMD_ATTR_DEREGISTER_CPUMASK

	typePID      = 1 // TASKSTATS_TYPE_PID
	typeTGID     = 2 // TASKSTATS_TYPE_TGID
	typeStats    = 3 // TASKSTATS_TYPE_STATS
	typeAggrPID  = 4 // TASKSTATS_TYPE_AGGR_PID
	typeAggrTGID = 5 // TASKSTATS_TYPE_AGGR_TGID
)

const netlinkHeader = 16 // bytes of struct nlmsghdr

// Offsets in struct taskstats. The structure has only grown at its end, but for
// version 15, which put fields into its middle (Linux 6.14; undone in 16).
const (
	tsVersion    = 0   // u16
	tsExitCode   = 4   // u32 of the leader; zero for other threads
	tsFlag       = 8   // u8
	tsCPUDelay   = 24  // u64 ns
	tsBlockDelay = 40  // u64 ns
	tsSwapDelay  = 56  // u64 ns
	tsVirtual    = 72  // u64 ns, cpu_run_virtual_total
	tsComm       = 80  // char[32]
	tsUID        = 120 // u32
	tsGID        = 124 // u32
	tsPID        = 128 // u32 thread id
	tsPPID       = 132 // u32
	tsBtime      = 136 // u32 s
	tsEtime      = 144 // u64 µs
	tsUtime      = 152 // u64 µs
	tsStime      = 160 // u64 µs
	tsMinFlt     = 168 // u64
	tsMajFlt     = 176 // u64
	tsCoreMem    = 184 // u64 MiB·µs
	tsVirtMem    = 192 // u64 MiB·µs
	tsHiwaterRSS = 200 // u64 KiB
	tsHiwaterVM  = 208 // u64 KiB
	tsReadChar   = 216 // u64 bytes, the four below too cut to whole KiB
	tsWriteChar  = 224 // u64 bytes
	tsReadCalls  = 232 // u64
	tsWriteCalls = 240 // u64
	tsReadBytes  = 248 // u64 bytes
	tsWriteBytes = 256 // u64 bytes
	tsNvcsw      = 272 // u64
	tsNivcsw     = 280 // u64
	tsFreeDelay  = 320 // u64 ns
	tsVersion8   = 328 // size of version 8
	tsBtime64    = 344 // u64 s, version 10
	tsVersion10  = 352
	tsTGID       = 368 // u32, version 12
	tsTGEtime    = 376 // u64 µs, version 12
	tsVersion12  = 400
)

// threadExit is what one message says of one thread's end.
type threadExit struct {
	// rec describes the thread alone; rec.PID is its process if that is
	// known, and its thread id otherwise.
	rec acct.Record
	// version is that of the structure.
	version uint16
	// tid is the thread's id, tgid its process: zero before version 12, where
	// only the last thread of several says it.
	tid, tgid int32
	// processElapsed is how long the process has existed. Zero before
	// version 12.
	processElapsed time.Duration
	// groupRuntime is the whole process's cpu_run_virtual_total; given with
	// the last thread of several.
	groupRuntime time.Duration
}

var (
	errShort      = errors.New("message is cut short")
	errNoStats    = errors.New("message holds no statistics of a thread")
	errVersion15  = errors.New("taskstats version 15 (Linux 6.14) has an incompatible layout; use a kernel with version 16")
	errOldVersion = errors.New("taskstats version is older than 8")
)

// decodeMessage reads the payload of one netlink message of the family, which
// begins with struct genlmsghdr. On error x is zero.
func decodeMessage(x *threadExit, b []byte) error {
	const header = 4
	*x = threadExit{}
	if len(b) < header {
		return errShort
	}
	if b[0] != cmdNew {
		return errNoStats
	}
	var seen bool
	err := eachAttribute(b[header:], func(kind uint16, aggr []byte) error {
		if kind != typeAggrPID && kind != typeAggrTGID {
			return nil
		}
		return eachAttribute(aggr, func(inner uint16, b []byte) error {
			switch {
			case inner == typeTGID && len(b) >= 4:
				x.tgid = int32(binary.NativeEndian.Uint32(b))
			case inner == typeStats && kind == typeAggrPID:
				seen = true
				return x.decodeThread(b)
			case inner == typeStats:
				if len(b) < tsVersion8 {
					return errShort
				}
				x.groupRuntime = nanoseconds(b, tsVirtual)
			}
			return nil
		})
	})
	if err == nil && !seen {
		err = errNoStats
	}
	if err != nil {
		*x = threadExit{}
		return err
	}
	if x.tgid != 0 {
		x.rec.PID = x.tgid
	}
	return nil
}

// eachAttribute calls f with each struct nlattr of b.
func eachAttribute(b []byte, f func(kind uint16, value []byte) error) error {
	const header, typeMask = 4, 0x3fff
	for len(b) > 0 {
		if len(b) < header {
			return errShort
		}
		n := int(binary.NativeEndian.Uint16(b))
		if n < header || n > len(b) {
			return errShort
		}
		if err := f(binary.NativeEndian.Uint16(b[2:])&typeMask, b[header:n]); err != nil {
			return err
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return nil
}

// decodeThread reads a struct taskstats of any version but 15.
func (x *threadExit) decodeThread(b []byte) error {
	if len(b) < tsVersion8 {
		return errShort
	}
	ne := binary.NativeEndian
	version := ne.Uint16(b[tsVersion:])
	x.version = version
	switch {
	case version == 15:
		return errVersion15
	case version < 8:
		return errOldVersion
	case version >= 10 && len(b) < tsVersion10, version >= 12 && len(b) < tsVersion12:
		return errShort
	}
	x.tid = int32(ne.Uint32(b[tsPID:]))
	x.rec = acct.Record{
		Source:              acct.Taskstats,
		Flags:               b[tsFlag],
		PID:                 x.tid,
		PPID:                int32(ne.Uint32(b[tsPPID:])),
		UID:                 ne.Uint32(b[tsUID:]),
		GID:                 ne.Uint32(b[tsGID:]),
		ExitCode:            ne.Uint32(b[tsExitCode:]),
		Begin:               int64(ne.Uint32(b[tsBtime:])),
		User:                microseconds(b, tsUtime),
		System:              microseconds(b, tsStime),
		Runtime:             nanoseconds(b, tsVirtual),
		MinorFaults:         ne.Uint64(b[tsMinFlt:]),
		MajorFaults:         ne.Uint64(b[tsMajFlt:]),
		ReadBytes:           ne.Uint64(b[tsReadBytes:]),
		WriteBytes:          ne.Uint64(b[tsWriteBytes:]),
		ReadChars:           ne.Uint64(b[tsReadChar:]),
		WriteChars:          ne.Uint64(b[tsWriteChar:]),
		ReadCalls:           ne.Uint64(b[tsReadCalls:]),
		WriteCalls:          ne.Uint64(b[tsWriteCalls:]),
		MaxRSS:              ne.Uint64(b[tsHiwaterRSS:]) << 10,
		ImageRSS:            ne.Uint64(b[tsHiwaterRSS:]) << 10,
		VoluntarySwitches:   ne.Uint64(b[tsNvcsw:]),
		InvoluntarySwitches: ne.Uint64(b[tsNivcsw:]),
		MaxVM:               ne.Uint64(b[tsHiwaterVM:]) << 10,
		RSSTime:             byteSeconds(b, tsCoreMem),
		VMTime:              byteSeconds(b, tsVirtMem),
		CPUDelay:            nanoseconds(b, tsCPUDelay),
		BlockDelay:          nanoseconds(b, tsBlockDelay),
		SwapDelay:           nanoseconds(b, tsSwapDelay),
		ReclaimDelay:        nanoseconds(b, tsFreeDelay),
	}
	x.rec.CPU = x.rec.User + x.rec.System
	copy(x.rec.Comm[:], b[tsComm:])
	if version >= 10 {
		x.rec.Begin = int64(ne.Uint64(b[tsBtime64:]))
	}
	var wrapped bool
	if x.rec.Elapsed, wrapped = lifetime(b, tsEtime); wrapped {
		x.rec.Begin = 0
	}
	if version >= 12 {
		x.tgid = int32(ne.Uint32(b[tsTGID:]))
		x.processElapsed, _ = lifetime(b, tsTGEtime)
	}
	return nil
}

// lifetime reads a life time. The kernel subtracts the start, taken on one CPU,
// from the time on another, and a virtual machine's CPUs may disagree: what is
// less than nothing has wrapped around at 2^64 ns, and is nothing.
func lifetime(b []byte, at int) (lived time.Duration, wrapped bool) {
	const most = math.MaxInt64 / int64(time.Microsecond)
	if n := binary.NativeEndian.Uint64(b[at:]); n <= uint64(most) {
		return time.Duration(n) * time.Microsecond, false
	}
	return 0, true
}

func nanoseconds(b []byte, at int) time.Duration {
	return time.Duration(binary.NativeEndian.Uint64(b[at:]))
}

func microseconds(b []byte, at int) time.Duration {
	return time.Duration(binary.NativeEndian.Uint64(b[at:])) * time.Microsecond
}

// byteSeconds converts from MiB times microseconds.
func byteSeconds(b []byte, at int) float64 {
	return float64(binary.NativeEndian.Uint64(b[at:])) * (1 << 20) / 1e6
}
