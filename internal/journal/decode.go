// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"

	"elsa/pkg/usage"
)

// Visitor is told what is in a journal, in order. A nil function is not called. What
// its functions are handed is valid during the call, but [Row].Groups and its strings
// stay.
type Visitor struct {
	Row func(*Row)
	// Brief rows have no Measure: that is passed over, which is faster.
	Brief   bool
	Fix     func(*Fix)
	Settled func(seq uint64)
	Lost    func(Lost)
	// Damage is told what cannot be read. What comes after is read.
	Damage func(*Damage)
}

// decoder takes a block apart. What it has of one block is forgotten with the next.
type decoder struct {
	b        []byte
	bad      bool
	prev     previous
	groups   []*Groups
	users    []user
	commands [][16]byte
	row      Row
	fix      Fix
	names    map[string]string // what was read before, to be one string
}

type user struct {
	uid, gid uint32
	name     string
}

// block tells what is in a payload, up to where it is malformed.
func (d *decoder) block(payload []byte, v *Visitor) error {
	d.b, d.bad, d.prev = payload, false, previous{}
	d.groups, d.users, d.commands = d.groups[:0], d.users[:0], d.commands[:0]
	if len(d.names) > maxNames {
		clear(d.names)
	}
	for len(d.b) > 0 && !d.bad {
		switch d.byte() {
		case kindGroups:
			d.defineGroups()
		case kindUser:
			d.users = append(d.users, user{d.u32(), d.u32(), d.text()})
		case kindCommand:
			d.commands = append(d.commands, d.comm())
		case kindRow:
			if v.Row == nil {
				d.skipRow()
			} else if d.readRow(v.Brief); !d.bad {
				v.Row(&d.row)
			}
		case kindFix:
			if d.readFix(); !d.bad && v.Fix != nil {
				v.Fix(&d.fix)
			}
		case kindSettled:
			if seq := d.uvarint(); !d.bad && v.Settled != nil {
				v.Settled(seq)
			}
		case kindLost:
			if l := (Lost{d.uvarint(), d.uvarint()}); !d.bad && v.Lost != nil {
				v.Lost(l)
			}
		default:
			d.bad = true
		}
	}
	if d.bad {
		return errEntry
	}
	return nil
}

// maxNames bounds the strings that are kept to be used again.
const maxNames = 1 << 14

func (d *decoder) defineGroups() {
	g := &Groups{Unattributed: d.byte() != 0}
	n := d.uvarint()
	if n > maxGroups {
		d.bad = true
		return
	}
	for range n {
		g.Names = append(g.Names, d.text())
	}
	d.groups = append(d.groups, g)
}

func (d *decoder) readRow(brief bool) {
	flags := d.byte()
	p := &d.prev
	p.seq += d.uvarint()
	p.groups, p.user, p.comm = d.uvarint(), d.uvarint(), d.uvarint()
	if p.groups >= uint64(len(d.groups)) || p.user >= uint64(len(d.users)) || p.comm >= uint64(len(d.commands)) {
		d.bad = true
		return
	}
	p.pid = d.i32(int64(p.pid) + d.varint())
	p.end += d.varint()
	start := p.end - d.varint()
	if flags&flagSameParent == 0 {
		p.ppid = d.i32(int64(p.pid) - d.varint())
		p.parentStart = start - d.varint()
	}
	u := &d.users[p.user]
	d.row = Row{
		Seq: p.seq, PID: p.pid, PPID: p.ppid, Start: start, End: p.end, ParentStart: p.parentStart,
		Groups: d.groups[p.groups], UID: u.uid, GID: u.gid, User: u.name, Comm: d.commands[p.comm],
		Exited: flags&flagExited != 0, Precision: Precision(flags & 3), Inferred: flags&flagInferred != 0,
	}
	if flags&flagPart != 0 {
		d.row.Part = d.u32()
	}
	if flags&flagStatus != 0 {
		d.row.Status = d.u32()
	}
	if brief {
		d.skipMeasure()
		return
	}
	d.measure(&d.row.Measure)
	d.row.Measure[usage.Elapsed] += uint64(p.end - start)
}

// skipRow passes over a row. Those after it in the block cannot be read then.
func (d *decoder) skipRow() {
	flags := d.byte()
	n := 7
	if flags&flagSameParent == 0 {
		n += 2
	}
	if flags&flagPart != 0 {
		n++
	}
	if flags&flagStatus != 0 {
		n++
	}
	d.skip(n)
	d.skipMeasure()
}

func (d *decoder) skipMeasure() {
	which := d.uvarint()
	d.bad = d.bad || which>>usage.Measured != 0
	d.skip(bits.OnesCount64(which))
}

// skip passes over n varints.
func (d *decoder) skip(n int) {
	if n == 0 {
		return
	}
	for i, c := range d.b {
		if c >= 0x80 {
			continue
		}
		if n--; n == 0 {
			d.b = d.b[i+1:]
			return
		}
	}
	d.bad, d.b = true, nil
}

func (d *decoder) readFix() {
	flags := d.byte()
	d.fix = Fix{Seq: d.uvarint(), Status: d.u32(), Exited: flags&flagExited != 0, Precision: Precision(flags & 3)}
	d.measure(&d.fix.Measure)
}

func (d *decoder) measure(m *usage.Measure) {
	which := d.uvarint()
	if which>>usage.Measured != 0 {
		d.bad = true
		return
	}
	for ; which != 0; which &= which - 1 {
		f := bits.TrailingZeros64(which)
		m[f] = bits.RotateLeft64(d.uvarint(), scale[f])
	}
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) uvarint() uint64 {
	if len(d.b) > 0 && d.b[0] < 0x80 {
		return uint64(d.byte()) // most of them
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (d *decoder) u32() uint32 {
	v := d.uvarint()
	d.bad = d.bad || v>>32 != 0
	return uint32(v)
}

func (d *decoder) i32(v int64) int32 {
	d.bad = d.bad || v != int64(int32(v))
	return int32(v)
}

// take is the next n bytes, or nil if there are fewer.
func (d *decoder) take(n int) []byte {
	if len(d.b) < n {
		d.bad, d.b = true, nil
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) text() string {
	b := d.take(int(d.byte()))
	if s, ok := d.names[string(b)]; ok {
		return s
	}
	if d.names == nil {
		d.names = map[string]string{}
	}
	s := string(b)
	d.names[s] = s
	return s
}

func (d *decoder) comm() (c [16]byte) {
	copy(c[:], d.take(len(c)))
	return c
}

// payloadOf returns the payload of the block at the beginning of b, whose header says
// how long it is. nil, nil: b is too short.
func payloadOf(b []byte) ([]byte, error) {
	if len(b) < blockHeader {
		return nil, nil
	}
	n := binary.LittleEndian.Uint32(b[4:])
	if binary.LittleEndian.Uint32(b) != blockMagic || n == 0 || n > maxBlock-blockHeader {
		return nil, errBlock
	}
	if len(b) < blockHeader+int(n) {
		return nil, nil
	}
	payload := b[blockHeader : blockHeader+int(n)]
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(b[8:]) {
		return nil, errChecksum
	}
	return payload, nil
}
