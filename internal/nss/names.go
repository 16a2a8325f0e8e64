// SPDX-License-Identifier: Apache-2.0

// Package nss knows the names of users and unix groups as the machine's name
// service switch (nsswitch.conf(5)) has them: those of files, LDAP, SSSD, systemd and
// whatever other module there is.
//
// A program without cgo cannot load such modules. So /etc/passwd and /etc/group are
// read at once, and all else is asked of getent(1), in a child with a deadline. Who
// asks never waits for that: an answer says whether it is the last word.
package nss

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"elsa/internal/tally"
)

// Bounds of what is remembered and asked.
const (
	// maxIDs is how many ids of a database are remembered, beside those of its file.
	maxIDs = 1 << 14
	// maxAsked is how many ids wait for an answer. Of more the number is the answer.
	maxAsked = 1 << 10
	// fresh is how long a name is taken for right without asking anew, and absent how
	// long one that was not found.
	fresh  = 10 * time.Minute
	absent = time.Minute
)

// The databases.
const (
	passwd = iota
	group
)

var databases = [...]string{passwd: "passwd", group: "group"}

// Names knows the names of users and unix groups. Make one with New. All methods
// are safe for concurrent use; only Look and Run wait for the name service.
type Names struct {
	// root is prepended to /etc.
	root string
	// ask asks a database for keys, names or numbers, and returns what it has of them.
	ask func(ctx context.Context, database string, keys []string) ([]entry, error)

	looking sync.Mutex // held by a Look
	kick    chan struct{}

	counts *tally.Shared

	mu     sync.Mutex
	tables [2]table
}

// table is one database.
type table struct {
	file   file
	ids    map[uint32]answer // beside those of the file
	names  map[string]answer
	wanted map[string]bool // names that are kept up to date
	asked  map[uint32]bool // ids that wait for an answer
}

// answer is what is known of a name or id.
type answer struct {
	entry
	found bool
	until time.Time // when it is to be asked for anew
}

// entry is a line of a database: a name and its id.
type entry struct {
	name string
	id   uint32
}

// New returns what the files say; the rest comes with Look and Run. counts counts the
// answers of the name service; nil counts nothing.
func New(counts *tally.Shared) *Names { return newNames("", getent, counts) }

func newNames(root string, ask func(context.Context, string, []string) ([]entry, error), counts *tally.Shared) *Names {
	n := &Names{root: root, ask: ask, kick: make(chan struct{}, 1), counts: counts}
	for db := range n.tables {
		n.tables[db] = table{wanted: map[string]bool{}}
		n.tables[db].forget()
		n.read(db)
	}
	return n
}

// read reads the file of a database if it was changed, and tells whether it was. mu is
// held, or nobody else has n yet.
func (n *Names) read(db int) bool { return n.tables[db].file.read(n.root + "/etc/" + databases[db]) }

func (t *table) forget() {
	t.ids, t.names, t.asked = map[uint32]answer{}, map[string]answer{}, map[uint32]bool{}
}

// User returns the name of a user id. While it is looked up, and where there is
// none, that is the number; known tells that it is the last word so far.
func (n *Names) User(uid uint32) (name string, known bool) { return n.name(passwd, uid) }

// UnixGroup returns the name of a group id; see User.
func (n *Names) UnixGroup(gid uint32) (name string, known bool) { return n.name(group, gid) }

func (n *Names) name(db int, id uint32) (name string, known bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := &n.tables[db]
	if name, ok := t.file.ids[id]; ok {
		return name, true
	}
	a, known := t.ids[id]
	if !known || time.Now().After(a.until) {
		switch {
		case t.asked[id]:
		case len(t.asked) >= maxAsked:
			n.counts.Add(tally.NamesDropped)
			known = true
		default:
			t.asked[id] = true
			n.wake()
		}
	}
	if a.found {
		return a.name, true
	}
	return strconv.FormatUint(uint64(id), 10), known
}

// IsUser reports whether name, which is to be wanted, is one of the user uid; known
// tells that it is the last word so far. A user may have several names.
func (n *Names) IsUser(uid uint32, name string) (is, known bool) { return n.is(passwd, uid, name) }

// IsUnixGroup does the same for the group gid.
func (n *Names) IsUnixGroup(gid uint32, name string) (is, known bool) { return n.is(group, gid, name) }

func (n *Names) is(db int, id uint32, name string) (is, known bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := &n.tables[db]
	if e, ok := t.file.names[name]; ok {
		return e == id, true
	}
	a, known := t.names[name]
	return a.found && a.id == id, known || !t.wanted[name]
}

// GroupID returns the id of a unix group that is wanted, if it has one.
func (n *Names) GroupID(name string) (gid uint32, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := &n.tables[group]
	if id, ok := t.file.names[name]; ok {
		return id, true
	}
	a := t.names[name]
	return a.id, a.found
}

// Want says which names of users and unix groups are asked for, in place of those of
// the last call: their ids are known ahead, and kept up to date by Run.
func (n *Names) Want(users, groups []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for db, names := range [...][]string{passwd: users, group: groups} {
		t := &n.tables[db]
		clear(t.wanted)
		for _, name := range names {
			t.wanted[name] = askable(name)
		}
		maps.DeleteFunc(t.names, func(name string, _ answer) bool { return !t.wanted[name] })
	}
	n.wake()
}

// Forget forgets all answers, also that there was none, and reads the files anew.
func (n *Names) Forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for db := range n.tables {
		n.tables[db].forget()
		n.read(db)
	}
	n.wake()
}

// Unknown are the names that are wanted and that nobody has, in order.
func (n *Names) Unknown() (users, groups []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.tables[passwd].unknown(), n.tables[group].unknown()
}

func (t *table) unknown() (names []string) {
	for name := range t.wanted {
		if _, ok := t.file.names[name]; !ok && !t.names[name].found {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// wake has Run look at once. mu is held.
func (n *Names) wake() {
	select {
	case n.kick <- struct{}{}:
	default:
	}
}
