// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/binary"
	"encoding/json"

	"elsa/internal/history"
	"elsa/internal/journal"
	"elsa/internal/lineage"
	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// Tx is a list of changes, to be written in one transaction by [Store.Write]. It is
// in memory alone: no method of it waits for the disk, or keeps what it is given.
// What it says of the transaction is true once that was written. The zero value is
// empty. Not safe for concurrent use.
type Tx struct {
	changes []change
	deaths  uint32
	err     error // of a value that cannot be put
	last    error // ends the transaction after its last change

	applied bool
	dropped int
	addedUp int
	next    uint32
	found   bool
}

// change is one of a Tx.
type change struct {
	does       does
	in         int // bucket
	key, value []byte
	usage      *usage.Usage
	most       int
}

type does uint8

const (
	puts does = iota
	deletes
	clears
	adds   // usage to the cell at key
	drops  // what the history has before key
	addsUp // what the history has from behind key to before value
	finds  // the first hour from key on
)

func (tx *Tx) put(in int, key, value []byte) {
	tx.changes = append(tx.changes, change{does: puts, in: in, key: key, value: value})
}

func (tx *Tx) delete(in int, key []byte) {
	tx.changes = append(tx.changes, change{does: deletes, in: in, key: key})
}

func (tx *Tx) putJSON(in int, key []byte, v any) {
	data, err := json.Marshal(v)
	if err != nil && tx.err == nil {
		tx.err = err
	}
	tx.put(in, key, data)
}

// Len counts the changes.
func (tx *Tx) Len() int { return len(tx.changes) + int(tx.deaths) }

// Applied reports whether the database has the changes. When [Store.Write] failed it
// may have them all the same, and lose them if the machine stops.
func (tx *Tx) Applied() bool { return tx.applied }

// Clear forgets all groups, sets and members, to be put again. It may come at any
// point of the transaction: what was put before is forgotten, too.
func (tx *Tx) Clear() {
	for _, in := range []int{inGroups, inSets, inMembers} {
		tx.changes = append(tx.changes, change{does: clears, in: in})
	}
}

// Meta puts the service's state.
func (tx *Tx) Meta(m Meta) { tx.putJSON(inMeta, keyMeta, m) }

// Journal puts how far the journal is that has the rows of this transaction.
func (tx *Tx) Journal(p journal.Position) { tx.putJSON(inMeta, keyJournal, p) }

// Held puts the precise records whose lines were not joined, in place of those
// put before. They are few, and there are none but at a planned stop.
func (tx *Tx) Held(rs []acct.Record) {
	if len(rs) == 0 {
		tx.delete(inMeta, keyHeld)
		return
	}
	tx.putJSON(inMeta, keyHeld, rs)
}

// PutGroup puts a group, new or changed.
func (tx *Tx) PutGroup(g groups.Group) { tx.putJSON(inGroups, key32(g.ID), g) }

// DeleteGroup forgets a group.
func (tx *Tx) DeleteGroup(id uint32) { tx.delete(inGroups, key32(id)) }

// PutSet puts a set's groups and bill. A set without groups, other than the two
// that always exist, is forgotten.
func (tx *Tx) PutSet(id groups.SetID, gs []uint32, u *usage.Usage) {
	if len(gs) == 0 && id > groups.Unattributed {
		tx.delete(inSets, key32(uint32(id)))
		return
	}
	ids := make(list, len(gs))
	for i, g := range gs {
		ids[i] = uint64(g)
	}
	tx.put(inSets, key32(uint32(id)), usageList(u).append(ids.append(nil)))
}

// PutMember puts a life that must be known after a crash.
func (tx *Tx) PutMember(l groups.Life, a usage.Account) {
	flags := uint64(0)
	for i, on := range []bool{l.Inferred, l.Unproven, l.HasAccount} {
		if on {
			flags |= 1 << i
		}
	}
	v := list{uint64(l.PPID), uint64(l.Set), uint64(l.Exit), flags, uint64(l.Start.Grain())}.append(make([]byte, 0, 64))
	v = measureList(&a.Base).append(v)
	v = measureList(&a.Last).append(v)
	v = cellList(&usage.Cell{Hour: a.Hour, UID: a.UID, Comm: a.Comm}).append(v)
	tx.put(inMembers, memberKey(l.Key()), v)
}

// DeleteMember forgets a life.
func (tx *Tx) DeleteMember(k groups.Key) { tx.delete(inMembers, memberKey(k)) }

// PutDeath puts a death that waits for its exact record. Every transaction must
// put all of them: those of the transaction before are forgotten.
func (tx *Tx) PutDeath(d usage.OpenDeath) {
	v := list{uint64(d.Key.PID), uint64(d.Key.Start.Boot()), uint64(d.Set), uint64(d.Reported), uint64(d.Grade),
		flag(d.Key.Start.Grain() != clock.Second), uint64(d.Key.Start.Grain()), flag(d.Lined), flag(d.Exited), uint64(d.At), flag(d.Looked), d.Seq, uint64(d.Status)}.append(nil)
	for _, m := range []*usage.Measure{&d.Base, &d.Charged, &d.Estimate} {
		v = measureList(m).append(v)
	}
	v = cellList(&d.Cell).append(v)
	tx.put(inDeaths, key32(tx.deaths), v)
	tx.deaths++
}

// PutOrigin puts who brought a process into a group.
func (tx *Tx) PutOrigin(o lineage.Origin) {
	tx.putJSON(inOrigins, originKey(&o), originJSON{o, encodeKey(o.Key)})
}

// DeleteOrigin forgets an origin.
func (tx *Tx) DeleteOrigin(o lineage.Origin) { tx.delete(inOrigins, originKey(&o)) }

// PutAncestors puts the ended ancestors of live members.
func (tx *Tx) PutAncestors(all []lineage.Ancestor) {
	encoded := make([]ancestorJSON, len(all))
	for i, a := range all {
		encoded[i] = ancestorJSON{a, encodeKey(a.Key)}
	}
	tx.putJSON(inMeta, keyAncestors, encoded)
}

// AddCell adds to what the history has of a cell.
func (tx *Tx) AddCell(k *history.Key, u *usage.Usage) {
	more := *u
	tx.changes = append(tx.changes, change{does: adds, in: inHistory, key: keyOfCell(k), usage: &more})
}

// DropHistory forgets cells of hours before the given one, the oldest first and
// so many at most.
func (tx *Tx) DropHistory(before uint32, most int) {
	tx.changes = append(tx.changes, change{does: drops, in: inHistory, key: key32(before), most: most})
}

// Dropped is how many cells the last DropHistory forgot.
func (tx *Tx) Dropped() int { return tx.dropped }

// AddUp adds the cells of hours from first+1 to before last to those of the
// hour first, so many at most. No sum over all these hours changes.
func (tx *Tx) AddUp(first, last uint32, most int) {
	tx.changes = append(tx.changes, change{does: addsUp, in: inHistory, key: key32(first), value: key32(last), most: most})
}

// AddedUp is how many cells the last AddUp added to others.
func (tx *Tx) AddedUp() int { return tx.addedUp }

// FindHour looks for the first hour from the given one on that the history has.
func (tx *Tx) FindHour(from uint32) {
	tx.changes = append(tx.changes, change{does: finds, in: inHistory, key: key32(from)})
}

// Hour is the hour that FindHour found; false when there is none.
func (tx *Tx) Hour() (hour uint32, ok bool) { return tx.next, tx.found }

func flag(on bool) uint64 {
	if on {
		return 1
	}
	return 0
}

func key32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func memberKey(k groups.Key) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 12), uint32(k.PID))
	return binary.BigEndian.AppendUint64(b, uint64(k.Start.Boot()))
}

// pidAndStart decodes what memberKey encodes.
func pidAndStart(b []byte) (pid int32, start clock.Boot) {
	return int32(binary.BigEndian.Uint32(b)), clock.Boot(binary.BigEndian.Uint64(b[4:]))
}
