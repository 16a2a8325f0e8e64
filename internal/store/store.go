// SPDX-License-Identifier: Apache-2.0

// Package store keeps groups, bills, members and the position in the ledger in
// one bbolt file, changed together in one transaction, so that after a crash at
// any instant nothing is lost and nothing is counted twice. No other package
// knows bbolt.
package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"elsa/internal/lineage"
	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/ledger"
	"elsa/pkg/stream"
	"elsa/pkg/usage"
)

// schema is the version of the layout below. A file of a newer schema is
// refused; an older one is brought up in one transaction when it is opened.
const schema = 1

// Buckets, and what they hold:
var (
	bucketMeta    = []byte("meta")    // names below → JSON
	bucketGroups  = []byte("groups")  // id (u32) → JSON of groups.Group
	bucketSets    = []byte("sets")    // set (u32) → n, group ids; usage list
	bucketMembers = []byte("members") // pid (u32) start (i64) → list; base, last
	bucketDeaths  = []byte("deaths")  // n (u32) → list; base, charged, estimate; list of its cell
	bucketHistory = []byte("history") // see keyOfCell → usage list
	bucketOrigins = []byte("origins") // group id (u32) n (u64) → JSON of lineage.Origin

	buckets = [][]byte{bucketMeta, bucketGroups, bucketSets, bucketMembers, bucketDeaths}
	// later are those that files of early versions lack.
	later = [][]byte{bucketHistory, bucketOrigins}

	keySchema = []byte("schema")
	keyMeta   = []byte("state")
	keyHeld   = []byte("held") // may be missing
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
	// Origins are why processes are in their groups, and Ancestors those that ended
	// and have descendants, of the last stop.
	Origins   []lineage.Origin
	Ancestors []lineage.Ancestor
}

// Store is an open database. Its methods are safe for concurrent use; there is
// one writer at a time.
type Store struct {
	db     *bolt.DB
	deaths uint32 // entries in bucketDeaths
}

// Open opens the database at path, or makes it, readable by its owner only. It
// waits at most a second for a lock: ErrBusy. A file that is no database of
// ours, or damaged, or ErrNewer, is left as it is.
func Open(path string, now time.Time) (*Store, error) {
	switch fi, err := os.Lstat(path); {
	case errors.Is(err, os.ErrNotExist):
		if err := create(path, now); err != nil {
			return nil, fmt.Errorf("create database %s: %w", path, err)
		}
	case err == nil && !fi.Mode().IsRegular():
		return nil, fmt.Errorf("open database %s: it is not a file (a link will not do); move it away", path)
	case err == nil && int(fi.Sys().(*syscall.Stat_t).Uid) != os.Geteuid():
		return nil, fmt.Errorf("open database %s: it belongs to another user than %d; chown it, once you trust what it holds", path, os.Geteuid())
	case err == nil && fi.Mode().Perm()&0o022 != 0:
		return nil, fmt.Errorf("open database %s: others can write to it (mode %04o); run chmod go-w on it, once you trust what it holds", path, fi.Mode().Perm())
	case err == nil && fi.Size() == 0: // bbolt would fill it
		return nil, fmt.Errorf("open database %s: it is empty; restore a backup or move the file away", path)
	}
	db, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	s := &Store{db: db}
	err = sound(s.check)
	if err == nil {
		err = sound(s.complete)
	}
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	return s, nil
}

// sound runs f, which reads pages that may be damaged: bbolt panics where they
// contradict each other, and where one points outside the file memory faults.
func sound(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("damaged (%v); restore a backup or move the file away", p)
		}
	}()
	return f()
}

func open(path string) (db *bolt.DB, err error) {
	err = sound(func() error {
		db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout: time.Second, FreelistType: bolt.FreelistMapType, NoStatistics: true,
		})
		return err
	})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, ErrBusy
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return nil, fmt.Errorf("not a database, or damaged (%w); restore a backup or move the file away", err)
	}
	var errno syscall.Errno
	if err != nil && !errors.As(err, &errno) {
		return nil, fmt.Errorf("damaged (%w); restore a backup or move the file away", err)
	}
	return db, err
}

// create makes the file under another name first, since a crash while bbolt
// lays out its first pages leaves a file it cannot open.
func create(path string, now time.Time) error {
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	db, err := open(tmp)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, b := range buckets {
			if _, err := tx.CreateBucket(b); err != nil {
				return err
			}
		}
		meta := tx.Bucket(bucketMeta)
		if err := meta.Put(keySchema, []byte{schema}); err != nil {
			return err
		}
		return putJSON(meta, keyMeta, Meta{Created: now.UTC(), NextGroup: 1})
	})
	if err2 := db.Close(); err == nil {
		err = err2
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	return err
}

func (s *Store) check() error {
	return s.db.View(func(tx *bolt.Tx) error {
		for _, b := range buckets {
			if tx.Bucket(b) == nil {
				return fmt.Errorf("bucket %q is missing: not a database of this service", b)
			}
		}
		switch v := tx.Bucket(bucketMeta).Get(keySchema); {
		case len(v) != 1:
			return errors.New("schema version is missing: not a database of this service")
		case v[0] > schema:
			return fmt.Errorf("%w (schema %d, this one knows %d); install that version again", ErrNewer, v[0], schema)
		}
		s.deaths = uint32(tx.Bucket(bucketDeaths).Stats().KeyN)
		return nil
	})
}

// complete adds the buckets that an early version did not make. It writes nothing
// when they are there.
func (s *Store) complete() error {
	whole := true
	err := s.db.View(func(tx *bolt.Tx) error {
		for _, b := range later {
			whole = whole && tx.Bucket(b) != nil
		}
		return nil
	})
	if whole || err != nil {
		return err
	}
	return s.db.Update(func(tx *bolt.Tx) error {
		for _, b := range later {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return nil
	})
}

// Close closes the database.
func (s *Store) Close() error { return s.db.Close() }

// Size is the size of the database file in bytes.
func (s *Store) Size() int64 {
	if fi, err := os.Stat(s.db.Path()); err == nil {
		return fi.Size()
	}
	return 0
}

// Dir is the directory of the database file.
func (s *Store) Dir() string { return filepath.Dir(s.db.Path()) }

// Backup writes a consistent copy of the database to w while it is in use.
func (s *Store) Backup(w io.Writer) error {
	return s.db.View(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	})
}
