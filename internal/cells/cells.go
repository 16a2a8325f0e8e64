// SPDX-License-Identifier: Apache-2.0

// Package cells has the cells of one hour of one host as they travel: by the names of
// groups and users instead of their numbers, as absolute totals, in a Parquet file that
// any engine reads. docs/schema.md describes the columns. The same block makes the same
// bytes.
package cells

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"elsa/pkg/client"
	"elsa/pkg/usage"
)

// Block is all cells of an hour of a source. One with a higher version takes the place of
// those with lower ones.
type Block struct {
	Source, Host string
	Hour         uint32 // since 1970
	Version      uint64
	Writer       string // who made the file; "" of files that do not say
	Cells        []Cell // in their order, no two of the same key
}

// Cell is what the processes of a user and a command used in a set of groups that ended
// within the hour.
type Cell struct {
	Groups       []string // ascending; none: ungrouped, or unattributed
	Unattributed bool
	UID          uint32
	User         string // "" if it is not known
	Command      string
	Usage        usage.Usage
}

func compare(a, b *Cell) int {
	return cmp.Or(
		cmp.Compare(a.Command, b.Command), cmp.Compare(a.User, b.User), cmp.Compare(a.UID, b.UID),
		slices.Compare(a.Groups, b.Groups), cmp.Compare(flag(a.Unattributed), flag(b.Unattributed)),
	)
}

func flag(on bool) int {
	if on {
		return 1
	}
	return 0
}

// Names are the names of groups and users by their numbers.
type Names struct {
	Groups map[string]string `json:"groups,omitempty"`
	Users  map[string]string `json:"users,omitempty"`
}

// Named makes the block of an hour. Groups without a name are left out; cells that are
// alike by their names are added up.
func Named(answer *client.Cells, h *client.CellsHour, names *Names) *Block {
	b := &Block{Source: answer.Source, Host: answer.Host, Hour: usage.HourOf(h.Hour.Unix())}
	fields := make([]usage.Field, len(answer.Columns))
	for i, name := range answer.Columns {
		fields[i] = -1 // of a later version
		for _, f := range usage.Stored {
			if f.Info().Column() == name {
				fields[i] = f
			}
		}
	}
	for i := range h.Cells {
		from := &h.Cells[i]
		c := Cell{Unattributed: from.Unattributed, UID: from.UID, User: names.Users[number(from.UID)], Command: from.Command}
		for _, g := range from.Groups {
			if name, ok := names.Groups[number(g)]; ok {
				c.Groups = append(c.Groups, name)
			}
		}
		slices.Sort(c.Groups)
		c.Groups = slices.Compact(c.Groups)
		for k, v := range from.Figures[:min(len(from.Figures), len(fields))] {
			if fields[k] >= 0 {
				c.Usage[fields[k]] = v
			}
		}
		b.Cells = append(b.Cells, c)
	}
	b.tidy()
	return b
}

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// tidy sorts the cells and adds up those that are alike.
func (b *Block) tidy() {
	slices.SortFunc(b.Cells, func(a, b Cell) int { return compare(&a, &b) })
	n := 0
	for i := range b.Cells {
		if n > 0 && compare(&b.Cells[n-1], &b.Cells[i]) == 0 {
			b.Cells[n-1].Usage.Add(&b.Cells[i].Usage)
			continue
		}
		b.Cells[n] = b.Cells[i]
		n++
	}
	b.Cells = b.Cells[:n]
}

// Digest is the same for two blocks that say the same, whatever their versions and writers.
func (b *Block) Digest() string {
	h := sha256.New()
	json.NewEncoder(h).Encode([]any{b.Source, b.Host, b.Hour, b.Cells}) // to a hash: no error
	return hex.EncodeToString(h.Sum(nil))
}

// Start is when the hour begins.
func (b *Block) Start() time.Time { return usage.HourStart(b.Hour) }

// CPU is user and system time of all cells, in nanoseconds.
func (b *Block) CPU() uint64 {
	var sum usage.Usage
	for i := range b.Cells {
		sum.Add(&b.Cells[i].Usage)
	}
	return uint64(sum.CPU())
}
