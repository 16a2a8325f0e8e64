// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"elsa/internal/cells"
	"elsa/internal/clickhouse"
)

// Place is where bills are delivered to: files of a [Sink], or tables of an engine. What
// is there of an item goes by the item's name. Methods are safe for concurrent use and
// block on the network or the disk until ctx ends.
type Place interface {
	// Manifests reads those of a source, or of all where it is "". What is damaged is told
	// to damage, and left out; that the place does not answer is an error.
	Manifests(ctx context.Context, source string, damage func(error)) ([]Manifest, error)
	// Publish puts a manifest in the place of the writer's last one.
	Publish(ctx context.Context, m *Manifest) error
	// Put puts an item there, whose content is body: all of it, or an error. [ErrThere]:
	// something else is there under its name, and is not changed.
	Put(ctx context.Context, i *Item, body []byte) error
	// Check reads what is there of an item: fs.ErrNotExist if nothing, [ErrDiffers] if it is
	// not what was sent.
	Check(ctx context.Context, i *Item) error
	// List tells what is there in directories, which are of one source, as names have them.
	List(ctx context.Context, dirs []string) ([]Object, error)
	// Adopt makes an item of cells that are there, of which the state knows nothing, and
	// tells their digest, "" if that is not known. It is fs.ErrNotExist if they are gone.
	Adopt(ctx context.Context, o *Object) (item Item, digest string, err error)
	// Remove removes what was replaced, if it is there and if that needs to be done.
	Remove(ctx context.Context, name string) error
	// Ask asks the host of a source to send again, and Asked tells the last that was asked;
	// the zero value is nothing.
	Ask(ctx context.Context, source string, r Request) error
	Asked(ctx context.Context, source string) (Request, error)
}

// Request asks a host to send again what it sent of the time since then.
type Request struct {
	ID    string    `json:"id"`
	Since time.Time `json:"since"`
}

// ErrDiffers says that what is there is not what was sent.
var ErrDiffers = errors.New("it is not what was sent")

// OpenPlace opens the place of an address: clickhouse://HOST/DATABASE, or that of a sink;
// see [Open]. Nothing is asked of it yet.
func OpenPlace(address string) (Place, error) {
	if strings.HasPrefix(address, clickhouse.Scheme+"://") {
		c, err := clickhouse.Open(address)
		if err != nil {
			return nil, err
		}
		return Tables{c}, nil
	}
	s, err := Open(address)
	if err != nil {
		return nil, err
	}
	return Files{s}, nil
}

// Files is the place that a sink is.
type Files struct{ Sink Sink }

// Manifests reads the files of manifests.
func (f Files) Manifests(ctx context.Context, source string, damage func(error)) ([]Manifest, error) {
	prefix := Manifests
	if source != "" {
		prefix = fmt.Sprintf("%ssource=%s/", Manifests, source)
	}
	return readManifests(ctx, f.Sink, prefix, damage)
}

// Publish writes the file of a manifest.
func (f Files) Publish(ctx context.Context, m *Manifest) error {
	return f.replace(ctx, manifestName(m.Source, m.Writer), m)
}

func (f Files) replace(ctx context.Context, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	return f.Sink.Replace(ctx, name, append(b, '\n'))
}

// Put makes a file. One that is there already and is the same is as good.
func (f Files) Put(ctx context.Context, i *Item, body []byte) error {
	err := f.Sink.Put(ctx, i.Name, body)
	if !errors.Is(err, ErrThere) {
		return err
	}
	if bad := f.Check(ctx, i); !errors.Is(bad, ErrDiffers) {
		return bad
	}
	return err
}

// Check reads a file whole.
func (f Files) Check(ctx context.Context, i *Item) error {
	b, err := f.Sink.Get(ctx, i.Name)
	if err == nil && Checksum(b) != i.SHA256 {
		err = ErrDiffers
	}
	return err
}

// List lists directories.
func (f Files) List(ctx context.Context, dirs []string) (list []Object, err error) {
	for _, dir := range dirs {
		there, err := f.Sink.List(ctx, dir)
		if err != nil {
			return nil, err
		}
		list = append(list, there...)
	}
	return list, nil
}

// Adopt reads a file whole.
func (f Files) Adopt(ctx context.Context, o *Object) (item Item, digest string, err error) {
	c, _ := ParseCells(o.Name)
	body, err := f.Sink.Get(ctx, o.Name)
	if err != nil {
		return item, "", err
	}
	b, err := cells.Decode(body)
	if err != nil {
		return item, "", fmt.Errorf("%w: %w", ErrDiffers, err)
	}
	item = Item{Hour: c.Hour, Version: c.Version, Name: o.Name, Rows: uint64(len(b.Cells)), CPU: b.CPU(), Size: int64(len(body)), SHA256: Checksum(body)}
	return item, b.Digest(), nil
}

// Remove removes a file.
func (f Files) Remove(ctx context.Context, name string) error { return f.Sink.Remove(ctx, name) }

// requestName is where a host is asked to send again, beside its manifests.
func requestName(source string) string {
	return fmt.Sprintf("%ssource=%s/again.json", Manifests, source)
}

// Ask writes a file beside the manifests.
func (f Files) Ask(ctx context.Context, source string, r Request) error {
	return f.replace(ctx, requestName(source), r)
}

// Asked reads that file.
func (f Files) Asked(ctx context.Context, source string) (r Request, err error) {
	b, err := f.Sink.Get(ctx, requestName(source))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		return r, fmt.Errorf("read %s: %w", requestName(source), err)
	}
	return r, nil
}
