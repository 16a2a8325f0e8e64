// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// ErrExists means that a group has the name already.
var ErrExists = errors.New("it exists already")

// ErrNoIDs means that every group id was given away.
var ErrNoIDs = errors.New("no group ids are left")

// Catalog is the list of groups, by name and by id, and what of it is not stored
// yet. A *Group that it returns is valid, and the same, until the group is
// deleted; whoever changes one says so by Touch. The zero value is not ready; use
// NewCatalog. Not safe for concurrent use.
type Catalog struct {
	byName  []*Group // in order of name
	byID    map[uint32]*Group
	next    uint32
	changed map[uint32]bool // ids, deleted ones too
	owned   map[uint32]Owned
	users   int // groups that are not root's
}

// Owned is what one user has of a catalog.
type Owned struct {
	// Groups counts the user's groups, Labels the bytes of their labels.
	Groups, Labels int
}

// NewCatalog returns an empty catalog that gives its first group the id next,
// which must not be [Former].
func NewCatalog(next uint32) *Catalog {
	return &Catalog{byID: map[uint32]*Group{}, next: next, changed: map[uint32]bool{}, owned: map[uint32]Owned{}}
}

// Make makes a group. The error wraps ErrExists or ErrNoIDs. A nil labels is none.
func (c *Catalog) Make(name string, owner uint32, labels map[string]string, created time.Time) (*Group, error) {
	at, exists := c.place(name)
	if exists {
		return nil, fmt.Errorf("make group %s: %w", name, ErrExists)
	}
	if c.next == math.MaxUint32 {
		return nil, fmt.Errorf("make group %s: %w", name, ErrNoIDs)
	}
	if labels == nil {
		labels = map[string]string{}
	}
	g := &Group{ID: c.next, Name: name, Owner: owner, Labels: labels, Created: created}
	c.next++
	c.insert(at, g)
	c.changed[g.ID] = true
	return g, nil
}

// Restore puts back a group that was stored.
func (c *Catalog) Restore(g Group) {
	at, _ := c.place(g.Name)
	c.insert(at, &g)
}

func (c *Catalog) insert(at int, g *Group) {
	c.byName = slices.Insert(c.byName, at, g)
	c.byID[g.ID] = g
	c.own(g, 1)
}

// own counts a group that came or went.
func (c *Catalog) own(g *Group, n int) {
	o := c.owned[g.Owner]
	o.Groups += n
	o.Labels += n * LabelBytes(g.Labels)
	if o == (Owned{}) {
		delete(c.owned, g.Owner)
	} else {
		c.owned[g.Owner] = o
	}
	if g.Owner != 0 {
		c.users += n
	}
}

// LabelBytes is the size of labels.
func LabelBytes(labels map[string]string) (n int) {
	for k, v := range labels {
		n += len(k) + len(v)
	}
	return n
}

// Owned is what the user uid has.
func (c *Catalog) Owned(uid uint32) Owned { return c.owned[uid] }

// OfUsers counts the groups that are not root's.
func (c *Catalog) OfUsers() int { return c.users }

func (c *Catalog) place(name string) (int, bool) {
	return slices.BinarySearchFunc(c.byName, name, func(g *Group, n string) int { return strings.Compare(g.Name, n) })
}

// Named returns the group with a name; nil when there is none.
func (c *Catalog) Named(name string) *Group {
	if at, ok := c.place(name); ok {
		return c.byName[at]
	}
	return nil
}

// ByID returns the group with an id; nil when there is none.
func (c *Catalog) ByID(id uint32) *Group { return c.byID[id] }

// All returns the groups in order of name. The slice must not be changed, and is
// valid until a group is made or deleted.
func (c *Catalog) All() []*Group { return c.byName }

// Copy returns a copy of every group, in order of name. Labels are shared: nobody
// changes them.
func (c *Catalog) Copy() []Group {
	gs := make([]Group, len(c.byName))
	for i, g := range c.byName {
		gs[i] = *g
	}
	return gs
}

// Names returns the names of the groups with the given ids, in order. Ids that no
// group has are left out.
func (c *Catalog) Names(ids []uint32) []string {
	var names []string
	for _, id := range ids {
		if g := c.byID[id]; g != nil {
			names = append(names, g.Name)
		}
	}
	slices.Sort(names)
	return names
}

// Rename gives a group another name. The error wraps ErrExists.
func (c *Catalog) Rename(g *Group, name string) error {
	if _, exists := c.place(name); exists {
		return fmt.Errorf("rename group %s to %s: %w", g.Name, name, ErrExists)
	}
	at, _ := c.place(g.Name)
	c.byName = slices.Delete(c.byName, at, at+1)
	g.Name = name
	at, _ = c.place(name)
	c.byName = slices.Insert(c.byName, at, g)
	c.changed[g.ID] = true
	return nil
}

// Relabel gives a group other labels, which are not copied.
func (c *Catalog) Relabel(g *Group, labels map[string]string) {
	c.own(g, -1)
	g.Labels = labels
	c.own(g, 1)
	c.changed[g.ID] = true
}

// Delete takes a group out of the catalog.
func (c *Catalog) Delete(g *Group) {
	at, _ := c.place(g.Name)
	c.byName = slices.Delete(c.byName, at, at+1)
	delete(c.byID, g.ID)
	c.own(g, -1)
	c.changed[g.ID] = true
}

// Next is the id that the next group will have.
func (c *Catalog) Next() uint32 { return c.next }

// Touch says that a group was changed and must be stored.
func (c *Catalog) Touch(g *Group) { c.changed[g.ID] = true }

// TouchAll says that every group must be stored, because the store was emptied.
func (c *Catalog) TouchAll() {
	for id := range c.byID {
		c.changed[id] = true
	}
}

// Changed reports whether Flush has anything to tell.
func (c *Catalog) Changed() bool { return len(c.changed) > 0 }

// Flush calls put for every group that is new or changed since the last Flush, and
// del for the ids of those that were deleted, in order of their ids: a database takes
// many new keys faster so.
func (c *Catalog) Flush(put func(Group), del func(id uint32)) {
	for _, id := range slices.Sorted(maps.Keys(c.changed)) {
		if g := c.byID[id]; g != nil {
			put(*g)
		} else {
			del(id)
		}
	}
	clear(c.changed)
}
