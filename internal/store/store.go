// SPDX-License-Identifier: Apache-2.0

// Package store keeps groups, bills, members and the position in the ledger in
// one bbolt file, changed together in one transaction, so that after a crash at
// any instant nothing is lost and nothing is counted twice. No other package
// knows bbolt.
//
// Damage is found, and never believed. Each value ends with a checksum of its
// bucket, its key and itself, which is looked at whenever the value is read. The
// digests in the bucket meta hold, for each bucket, how many values there are and
// the sum of their checksums, with the number of the transaction that wrote them:
// they tell values that are lost, stale or there twice. A transaction brings them up
// to date by the values it changes. Open goes through all pages of the file, history
// included, before bbolt sees it, since bbolt believes what is on them: both meta
// pages must be whole, every page must be in one tree or free, all keys in order, and
// the digests right. That takes a second for some 200 MB, a year of a busy machine.
// What breaks while the service runs ends a read or a transaction with an error.
package store

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"elsa/internal/fill"
	"elsa/internal/journal"
	"elsa/internal/lineage"
	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/ledger"
	"elsa/pkg/stream"
	"elsa/pkg/usage"
)

// schema is the version of the layout below. A file of a newer schema is
// refused; an older one is brought up in one transaction when it is opened. The
// values of schema 1 have no checksums, and it has no digests. Schema 2 has no fills, in the
// history neither.
const schema = 3

// Buckets, by their index below, and what they hold. Values end with a checksum.
var buckets = [numBuckets][]byte{
	inMeta:    []byte("meta"),    // names below → JSON
	inGroups:  []byte("groups"),  // id (u32) → JSON of groups.Group
	inSets:    []byte("sets"),    // set (u32) → n, group ids; usage list
	inMembers: []byte("members"), // pid (u32) start (i64) → list; base, last
	inDeaths:  []byte("deaths"),  // n (u32) → list; base, charged, estimate; list of its cell
	inHistory: []byte("history"), // see keyOfCell → usage list
	inOrigins: []byte("origins"), // group id (u32) n (u64) → JSON of lineage.Origin
	inFills:   []byte("fills"),   // see isPart
}

const (
	inMeta = iota
	inGroups
	inSets
	inMembers
	inDeaths
	inHistory
	inOrigins
	inFills
	numBuckets
)

var (
	keySchema    = []byte("schema")    // one byte, without a checksum
	keyDigests   = []byte("digests")   // see digests
	keyMeta      = []byte("state")     // JSON of Meta
	keyJournal   = []byte("journal")   // JSON of a position; may be missing
	keyHeld      = []byte("held")      // JSON of records; may be missing
	keyAncestors = []byte("ancestors") // JSON of ancestors; may be missing
)

// ErrBusy means that another process has the database open.
var ErrBusy = errors.New("database is in use by another process")

// ErrNewer means that a newer version of the service wrote the database.
var ErrNewer = errors.New("database was written by a newer version")

// Meta is the state of the service itself.
type Meta struct {
	// Created is when the database was made.
	Created time.Time
	// BootID is the kernel's random id of the boot the members belong to.
	BootID string
	// AsOf is the last moment of which every event is in the database.
	AsOf clock.Boot
	// Position is how far the ledger has been joined.
	Position ledger.Position
	// Booted is the wall clock at boot, as the wall clock was set then.
	Booted clock.Wall `json:"WallOffset"`
	// Asleep is how long the machine was suspended in that boot by then.
	Asleep time.Duration `json:",omitempty"`
	// Date is by which what is old was deleted, at a moment of that boot.
	Date   time.Time
	DateAt clock.Boot
	// NextGroup is the next group id; ids are never reused.
	NextGroup uint32
	// Reported is the CPU of all deaths the kernel reported.
	Reported time.Duration
	// Settled counts deaths by precision when they were settled; nil in early versions.
	Settled *usage.Settled `json:",omitempty"`
	// Daily: of hours before it the history has days alone, or soon will.
	Daily uint32 `json:",omitempty"`
	// NextRow is the number of the next row of the journal.
	NextRow uint64 `json:",omitempty"`
	// CleanStop is set when the service ended in order.
	CleanStop bool
	// Stored is set when the socket of events was stored at that stop: how much
	// of its drop counter is accounted for. StoredTaskstats is the same for that source
	// of records.
	Stored          *uint32 `json:",omitempty"`
	StoredTaskstats *uint32 `json:",omitempty"`
	// Ring is what is in the database of the ring that BPF programs write to.
	Ring *Ring `json:",omitempty"`
}

// Ring says how far the ring of BPF programs was read, by lane; nil where a lane
// cannot be gone on with.
type Ring struct {
	// ID is the kernel's, unique within a boot.
	ID               uint32
	Events, Releases *stream.Cursor `json:",omitempty"`
}

// SourceID names the database as a source of rows and bills: a UUID (RFC 9562, version 5)
// of the machine, by the text of /etc/machine-id, and of when the database was made.
func (m *Meta) SourceID(machine []byte) (id [16]byte) {
	sum := sha1.Sum(fmt.Appendf(nil, "elsa database\n%s%d", machine, m.Created.UnixNano()))
	copy(id[:], sum[:])
	id[6], id[8] = id[6]&0x0f|0x50, id[8]&0x3f|0x80
	return id
}

// HandedOver reports whether the next start may go on with any source.
func (m *Meta) HandedOver() bool {
	return m.Stored != nil || m.StoredTaskstats != nil || m.Ring != nil
}

// Set is a membership set and its bill.
type Set struct {
	ID     groups.SetID
	Groups []uint32
	Usage  usage.Usage
}

// Member is a stored life and what the join knows of it.
type Member struct {
	Life    groups.Life
	Account usage.Account
}

// State is all that the database holds.
type State struct {
	Meta    Meta
	Groups  []groups.Group
	Sets    []Set
	Members []Member
	Deaths  []usage.OpenDeath
	Held    []acct.Record // see Tx.Held
	Journal journal.Position
	// Origins are why processes are in their groups, and Ancestors those that ended
	// and have descendants, of the last stop.
	Origins   []lineage.Origin
	Ancestors []lineage.Ancestor
	// Filled is what groups took of the past, and Taken are the rows it was of.
	Filled []usage.Filled
	Taken  []fill.Taken
}

// Store is an open database. Its methods are safe for concurrent use; there is
// one writer at a time.
type Store struct {
	path string
	file *os.File // bbolt's, with our lock
	db   *bolt.DB

	mu      sync.Mutex // held while a transaction is written
	deaths  uint32     // values in the bucket of deaths
	digests digests
	size    atomic.Int64
	broken  error // a transaction ended in the midst: bbolt is not used for another
	changes changes
}

// Close closes the database.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return abandon(s.file) // bbolt may wait for itself
	}
	return s.db.Close()
}

// Size is the size of the database file in bytes, after the last transaction.
func (s *Store) Size() int64 { return s.size.Load() }

// measure notes the size of the file.
func (s *Store) measure() {
	if fi, err := s.file.Stat(); err == nil {
		s.size.Store(fi.Size())
	}
}

// Dir is the directory of the database file.
func (s *Store) Dir() string { return filepath.Dir(s.path) }

// Backup writes a consistent copy of the database to w while it is in use.
func (s *Store) Backup(w io.Writer) error {
	return sound(func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			_, err := tx.WriteTo(w)
			return err
		})
	})
}
