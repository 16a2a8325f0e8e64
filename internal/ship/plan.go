// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"cmp"
	"slices"
)

// held is an item and how far it is. What is in the sink is what counts: Sent and
// Verified are what a host knows of it.
type held struct {
	Item
	// Digest tells what cells say, whatever their version.
	Digest string `json:"digest,omitempty"`
	Sent   bool   `json:"sent,omitempty"`
	// Verified: it was read back, and was what was sent.
	Verified bool `json:"verified,omitempty"`
	// Try counts how often a file that is not of cells was sent under another name.
	Try int `json:"try,omitempty"`
	// Old are names of what it replaces: they are removed once it is verified and in the
	// manifest.
	Old []string `json:"old,omitempty"`
	// Gone: its content is no longer at hand, so it cannot be sent again.
	Gone bool `json:"gone,omitempty"`
}

// Bounds of what waits to be sent.
type Bounds struct {
	Bytes int64
	// Hours is how many hours before the newest are kept.
	Hours uint32
}

// offer takes in the cells of an hour, and returns the item to be made, or nil if they say
// what they said before. A version is above that of any file of the hour that is known.
func offer(items []held, source, writer string, hour uint32, digest string) *held {
	i, found := find(items, hour)
	if !found {
		return successor(&held{Item: Item{Hour: hour}}, source, writer, digest)
	}
	was := &items[i]
	if was.Digest == digest && (was.Sent || !was.Gone) {
		return nil
	}
	return successor(was, source, writer, digest)
}

// successor is the next version of cells.
func successor(was *held, source, writer, digest string) *held {
	next := &held{Item: Item{Hour: was.Hour, Version: was.Version + 1}, Digest: digest, Old: was.Old}
	next.Name = Cells{source, was.Hour, next.Version, writer}.Name()
	if was.Name != "" {
		next.Old = append(slices.Clip(next.Old), was.Name)
	}
	return next
}

// find finds the cells of an hour among items, which are in the order of hours, those
// without one last.
func find(items []held, hour uint32) (int, bool) {
	return slices.BinarySearchFunc(items, hour, func(h held, hour uint32) int { return cmp.Compare(order(h.Hour), order(hour)) })
}

// order puts what has no hour behind all hours.
func order(hour uint32) uint64 {
	if hour == 0 {
		return 1 << 40
	}
	return uint64(hour)
}

// toDrop are the items that there is no room for, the oldest first: all that are verified
// go before the first that is not.
func toDrop(items []held, bounds Bounds) (drop []int) {
	newest, sum := uint32(0), int64(0)
	for i := range items {
		newest = max(newest, items[i].Hour)
		if items[i].File == "" && !items[i].Gone {
			sum += items[i].Size
		}
	}
	for _, verified := range []bool{true, false} {
		for i := range items {
			h := &items[i]
			if h.Verified != verified || h.File != "" || h.Gone {
				continue
			}
			if old := h.Hour+bounds.Hours < newest; old || sum > bounds.Bytes {
				sum -= h.Size
				drop = append(drop, i)
			}
		}
	}
	return drop
}

// difference is what of items is not in the sink as it was sent, given what is there.
type difference struct {
	Missing []int    // sent, and not there
	Wrong   []int    // there, and not the same
	Remove  []string // this writer's, and replaced
	Known   []Object // of cells, not below what items have, of a state that was lost
}

// compare compares items with what is there of their source.
func compare(items []held, there []Object, writer string) (d difference) {
	names := make(map[string]*Object, len(there))
	for i := range there {
		names[there[i].Name] = &there[i]
	}
	for i := range items {
		h := &items[i]
		if !h.Sent {
			continue
		}
		switch o := names[h.Name]; {
		case o == nil:
			d.Missing = append(d.Missing, i)
		case !o.is(&h.Item):
			d.Wrong = append(d.Wrong, i)
		}
	}
	for _, o := range there {
		c, ok := ParseCells(o.Name)
		if !ok {
			continue
		}
		i, found := find(items, c.Hour)
		switch {
		case !found, c.Version > items[i].Version, c.Version == items[i].Version && o.Name != items[i].Name:
			d.Known = append(d.Known, o)
		case c.Version < items[i].Version && c.Writer == writer && items[i].Verified:
			d.Remove = append(d.Remove, o.Name)
		}
	}
	return d
}
