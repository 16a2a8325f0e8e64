// SPDX-License-Identifier: Apache-2.0

// Package ship delivers what a host billed to a place that all hosts share. What is to be
// done next is planned without I/O (plan.go); a [Place] is where it goes: files of a
// [Sink], which is a directory or a bucket, or tables of ClickHouse; a [Shipper] brings
// both together and survives being killed at any instant.
package ship

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// Object is a file in a sink, or what tables have of one.
type Object struct {
	Name string
	// Size is the file's, in bytes; -1 in tables, where Rows and CPU are known instead.
	Size      int64
	Rows, CPU uint64
}

// is reports whether it is as an item was sent, as far as that is known without reading it.
func (o *Object) is(i *Item) bool {
	if o.Size < 0 {
		return o.Rows == i.Rows && o.CPU == i.CPU
	}
	return o.Size == i.Size
}

// ErrThere says that a file of that name is there already, whatever is in it.
var ErrThere = errors.New("a file of this name is there")

// MaxFile bounds a file of a sink, in bytes.
const MaxFile = 64 << 20

// Sink keeps files by their names, which are paths with slashes. A file is there whole or
// not at all. Methods are safe for concurrent use and block on the network or the disk
// until ctx ends.
type Sink interface {
	// List tells the files whose names begin with a prefix, ascending. The prefix ends
	// with a slash.
	List(ctx context.Context, prefix string) ([]Object, error)
	// Get reads a file; fs.ErrNotExist if there is none.
	Get(ctx context.Context, name string) ([]byte, error)
	// Put makes a file that is not there; else ErrThere, and nothing is changed.
	Put(ctx context.Context, name string, b []byte) error
	// Replace makes a file, in the place of the one that is there.
	Replace(ctx context.Context, name string, b []byte) error
	// Remove removes a file, if it is there.
	Remove(ctx context.Context, name string) error
}

// Open opens the sink of an address: s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME], or
// a directory. Nothing is read or written yet.
func Open(address string) (Sink, error) {
	if strings.HasPrefix(address, "s3://") {
		u, err := url.Parse(address)
		if err != nil {
			return nil, fmt.Errorf("open sink %s: %w", address, err)
		}
		return openS3(u)
	}
	if scheme, _, ok := strings.Cut(address, "://"); ok {
		return nil, fmt.Errorf("open sink: %s:// is not known; use a directory, s3://BUCKET/PREFIX or clickhouse://HOST/DATABASE", scheme)
	}
	if address == "" || !filepath.IsAbs(address) {
		return nil, fmt.Errorf("open sink: %q is no absolute path of a directory, nor s3://BUCKET/PREFIX", address)
	}
	return &Dir{address}, nil
}
