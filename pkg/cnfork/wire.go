// SPDX-License-Identifier: Apache-2.0

package cnfork

import (
	"encoding/binary"
	"errors"
	"math"
	"strconv"

	"elsa/pkg/clock"
)

// Connector identifiers, include/uapi/linux/connector.h, and the netlink group
// of each. The fork connector's index is too large to be a group number, so
// its patch gives it the one after CN_NETLINK_USERS.
const (
	procIdx, procVal, procGroup = 0x1, 0x1, 1
	forkIdx, forkVal, forkGroup = 0xfeed, 0xbeef, 12
)

// Operations of the process connector, enum proc_cn_mcast_op of
// include/uapi/linux/cn_proc.h.
const (
	opListen = 1
	opIgnore = 2
)

// Values of struct proc_event.what.
const (
	whatNone     = 0x00000000
	whatFork     = 0x00000001
	whatExec     = 0x00000002
	whatUID      = 0x00000004
	whatGID      = 0x00000040
	whatSID      = 0x00000080
	whatComm     = 0x00000200
	whatCoredump = 0x40000000
	whatExit     = 0x80000000
)

var whats = [Kinds]uint32{
	Ack: whatNone, Fork: whatFork, Exec: whatExec, UID: whatUID, GID: whatGID,
	SID: whatSID, Comm: whatComm, Coredump: whatCoredump, Exit: whatExit,
}

// Lengths of struct nlmsghdr, struct cn_msg, the fixed part of struct
// proc_event, and its whole. The layout is that of Linux 3.2 to 6.18, where
// one datagram is one message.
const (
	nlLen    = 16
	cnLen    = 20
	fixedLen = 16
	procLen  = 40

	nlDone = 3 // NLMSG_DONE
)

var (
	errShort   = errors.New("message is shorter than it must be")
	errForeign = errors.New("message is of another connector user")
	errText    = errors.New("fork connector text is not two pids")
)

// message checks the two headers of a connector datagram and returns the
// connector's sequence number and its data.
func message(b []byte, idx, val uint32) (seq uint32, data []byte, err error) {
	ne := binary.NativeEndian
	if len(b) < nlLen+cnLen {
		return 0, nil, errShort
	}
	// The datagram may be padded, the message within may be shorter.
	size := int64(ne.Uint32(b))
	if size < nlLen+cnLen || size > int64(len(b)) {
		return 0, nil, errShort
	}
	cn := b[nlLen:size]
	if ne.Uint32(cn) != idx || ne.Uint32(cn[4:]) != val {
		return 0, nil, errForeign
	}
	n := int(ne.Uint16(cn[16:]))
	if n > len(cn)-cnLen {
		return 0, nil, errShort
	}
	return ne.Uint32(cn[8:]), cn[cnLen:][:n], nil
}

// ackNumber returns cn_msg.ack of a datagram that DecodeProc accepts.
func ackNumber(b []byte) uint32 { return binary.NativeEndian.Uint32(b[nlLen+12:]) }

// DecodeProc decodes a datagram of the process connector, struct proc_event in
// native byte order. An event of unknown kind is no error; its Kind is Other.
// On error the Event is zero. DecodeProc does not allocate.
func DecodeProc(b []byte) (Event, error) {
	seq, d, err := message(b, procIdx, procVal)
	if err != nil {
		return Event{}, err
	}
	if len(d) < fixedLen {
		return Event{}, errShort
	}
	ne := binary.NativeEndian
	e := Event{Seq: seq, CPU: ne.Uint32(d[4:]), Time: clock.Mono(ne.Uint64(d[8:]))}
	u := d[fixedLen:]
	what := ne.Uint32(d)
	need := 0
	switch what {
	case whatNone:
		need = 4
	case whatExec, whatSID, whatComm, whatCoredump:
		need = 8
	case whatFork, whatUID, whatGID, whatExit:
		need = 16
	}
	if len(u) < need {
		return Event{}, errShort
	}
	id := func(at int) int32 {
		if at+4 > len(u) {
			return 0 // a later addition that this kernel does not have
		}
		return int32(ne.Uint32(u[at:]))
	}
	switch what {
	case whatNone:
		e.Kind = Ack
		e.ExitCode = ne.Uint32(u)
		return e, nil
	case whatFork:
		e.Kind = Fork
		e.ParentPID, e.ParentTGID = id(0), id(4)
		e.PID, e.TGID = id(8), id(12)
		return e, nil
	case whatExec:
		e.Kind = Exec
	case whatUID, whatGID:
		e.Kind = UID
		if what == whatGID {
			e.Kind = GID
		}
		e.RealID, e.EffectiveID = ne.Uint32(u[8:]), ne.Uint32(u[12:])
	case whatSID:
		e.Kind = SID
	case whatComm:
		e.Kind = Comm
	case whatCoredump:
		e.Kind = Coredump
		e.ParentPID, e.ParentTGID = id(8), id(12)
	case whatExit:
		e.Kind = Exit
		e.ExitCode, e.ExitSignal = ne.Uint32(u[8:]), id(12)
		e.ParentPID, e.ParentTGID = id(16), id(20)
	default:
		return e, nil
	}
	e.PID, e.TGID = id(0), id(4)
	return e, nil
}

// AppendProc appends to b the datagram that the kernel sends for e, the
// inverse of DecodeProc. What an Event does not carry is zero: cn_msg.ack of an
// Ack, the name of a Comm. An e of Kind Other has no wire form; AppendProc
// panics.
func AppendProc(b []byte, e Event) []byte {
	ne := binary.NativeEndian
	b = appendHeaders(b, procIdx, procVal, e.Seq, 0, procLen)
	if e.Kind == Other || e.Kind >= Kinds {
		panic("cnfork: append an event of kind " + e.Kind.String())
	}
	b = ne.AppendUint32(b, whats[e.Kind])
	b = ne.AppendUint32(b, e.CPU)
	b = ne.AppendUint64(b, uint64(e.Time))
	subject := [2]uint32{uint32(e.PID), uint32(e.TGID)}
	parent := [2]uint32{uint32(e.ParentPID), uint32(e.ParentTGID)}
	var u [6]uint32
	switch e.Kind {
	case Ack:
		u[0] = e.ExitCode
	case Fork:
		copy(u[0:], parent[:])
		copy(u[2:], subject[:])
	case UID, GID:
		copy(u[:], subject[:])
		u[2], u[3] = e.RealID, e.EffectiveID
	case Coredump:
		copy(u[:], subject[:])
		copy(u[2:], parent[:])
	case Exit:
		copy(u[:], subject[:])
		u[2], u[3] = e.ExitCode, uint32(e.ExitSignal)
		copy(u[4:], parent[:])
	default:
		copy(u[:], subject[:])
	}
	for _, v := range u {
		b = ne.AppendUint32(b, v)
	}
	return b
}

// DecodeFork decodes a datagram of the fork connector: the text "PARENT CHILD"
// and a NUL, both thread ids in decimal. On error the Event is zero. DecodeFork
// does not allocate.
func DecodeFork(b []byte) (Event, error) {
	seq, d, err := message(b, forkIdx, forkVal)
	if err != nil {
		return Event{}, err
	}
	parent, d, ok1 := cutPID(d, ' ')
	child, d, ok2 := cutPID(d, 0)
	if !ok1 || !ok2 || len(d) != 0 {
		return Event{}, errText
	}
	return Event{Kind: Fork, Seq: seq, ParentPID: parent, PID: child}, nil
}

// cutPID reads a number as the kernel's %i prints it, and the byte after it.
func cutPID(b []byte, end byte) (pid int32, rest []byte, ok bool) {
	var n int64
	for i, c := range b {
		switch {
		case c == end && i > 0:
			return int32(n), b[i+1:], true
		case c < '0' || c > '9' || i == 1 && n == 0:
			return 0, nil, false // no digit, or a leading zero
		}
		n = n*10 + int64(c-'0')
		if n > math.MaxInt32 {
			return 0, nil, false
		}
	}
	return 0, nil, false
}

// AppendFork appends to b the datagram that the fork connector sends for e, a
// Fork; the inverse of DecodeFork. It is padded to four bytes.
func AppendFork(b []byte, e Event) []byte {
	text := strconv.AppendInt(nil, int64(e.ParentPID), 10)
	text = append(text, ' ')
	text = strconv.AppendInt(text, int64(e.PID), 10)
	text = append(text, 0)
	b = appendHeaders(b, forkIdx, forkVal, e.Seq, 0, len(text))
	b = append(b, text...)
	return append(b, make([]byte, -len(text)&3)...)
}

// appendRequest appends a request to the process connector that gives its op
// four bytes, the form that all kernels know and that asks for all events: a
// filter in the kernel would make gaps in the sequence numbers.
func appendRequest(b []byte, op, ack uint32) []byte {
	b = appendHeaders(b, procIdx, procVal, 0, ack, 4)
	return binary.NativeEndian.AppendUint32(b, op)
}

func appendHeaders(b []byte, idx, val, seq, ack uint32, data int) []byte {
	ne := binary.NativeEndian
	b = ne.AppendUint32(b, uint32(nlLen+cnLen+data))
	b = ne.AppendUint16(b, nlDone)
	b = ne.AppendUint16(b, 0) // flags
	b = ne.AppendUint32(b, seq)
	b = ne.AppendUint32(b, 0) // port: the receiver trusts the address alone
	b = ne.AppendUint32(b, idx)
	b = ne.AppendUint32(b, val)
	b = ne.AppendUint32(b, seq)
	b = ne.AppendUint32(b, ack)
	b = ne.AppendUint16(b, uint16(data))
	return ne.AppendUint16(b, 0) // flags
}
