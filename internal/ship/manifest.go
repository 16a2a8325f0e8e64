// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Item is a file that a host sends: the cells of an hour, or a sealed file of the
// archive.
type Item struct {
	Name string `json:"name"` // in the sink
	// Hour is that of cells, in hours since 1970, and Version theirs. File is the path of
	// what is no cells, in the archive.
	Hour    uint32 `json:"hour,omitempty"`
	Version uint64 `json:"version,omitempty"`
	File    string `json:"file,omitempty"`
	// Rows and CPU, user and system time in nanoseconds, are the sums over the file.
	Rows   uint64 `json:"rows"`
	CPU    uint64 `json:"cpu_ns"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Lost is what was never sent, since it was too old or too much by then.
type Lost struct {
	Items uint64 `json:"items"`
	Rows  uint64 `json:"rows"`
	CPU   uint64 `json:"cpu_ns"`
	// From and To are the first and the last hour that has a loss, since 1970.
	From uint32 `json:"from,omitempty"`
	To   uint32 `json:"to,omitempty"`
}

func (l *Lost) add(i *Item) {
	l.Items++
	l.Rows += i.Rows
	l.CPU += i.CPU
	if i.Hour == 0 {
		return
	}
	if l.From == 0 || i.Hour < l.From {
		l.From = i.Hour
	}
	l.To = max(l.To, i.Hour)
}

// Manifest is what a writer says about a source in the sink. Writers of a source are one
// host at different times, or several hosts with one identity.
type Manifest struct {
	Source string `json:"source"`
	Host   string `json:"host"`
	Writer string `json:"writer"`
	// First and Last number the first manifest of the writer and this one, among all of
	// the source: each has a number above those that were there. Two writers whose numbers
	// interleave both live.
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	// Nonce is another in each manifest: a writer that does not find its own there is not
	// alone.
	Nonce   string    `json:"nonce"`
	Updated time.Time `json:"updated"`
	// Through: what ended before is in the sink, but for what is in Lost.
	Through time.Time `json:"through"`
	// Every is how often the writer delivers, in seconds.
	Every float64 `json:"every_seconds"`
	// Final says that the source has ended: another database is in its place.
	Final bool `json:"final,omitempty"`
	Lost  Lost `json:"lost"`
	// Items are what counts: of an hour, the one file that is named here and has this
	// checksum.
	Items []Item `json:"items"`
}

// Interleaved reports whether two writers of a source are two hosts.
func Interleaved(a, b *Manifest) bool { return a.First < b.Last && b.First < a.Last }

// maxManifests bounds how many of a source are read.
const maxManifests = 1000

// readManifests reads those below a prefix.
func readManifests(ctx context.Context, sink Sink, prefix string, damage func(error)) (list []Manifest, err error) {
	there, err := sink.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	for _, o := range there {
		name := manifestRow.FindStringSubmatch(o.Name)
		if name == nil {
			continue
		}
		b, err := sink.Get(ctx, o.Name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone meanwhile
		}
		if err != nil {
			return nil, err
		}
		var m Manifest
		if err := json.Unmarshal(b, &m); err != nil {
			damage(fmt.Errorf("read manifest %s: %w", o.Name, err))
		} else if m.Source != name[1] || m.Writer != name[2] {
			damage(fmt.Errorf("read manifest %s: it is of source %s, writer %s", o.Name, m.Source, m.Writer))
		} else {
			list = append(list, m)
		}
	}
	return list, nil
}
