// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// The pages of a bbolt file, as in its internal/common (page.go, meta.go, bucket.go):
// numbers are in the byte order of the machine. A page begins with its id (u64),
// flags (u16), count of elements (u16) and how many pages follow it as one (u32).
const (
	pageHeader   = 16
	elementSize  = 16
	bucketHeader = 16 // root page (u64), or 0 where a page follows in the value; sequence (u64)

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10

	metaSize    = 64
	metaMagic   = 0xED0CDAED
	metaVersion = 2
	minPage     = 1 << 10
	maxPage     = 1 << 24

	// maxDepth is how many pages lie over each other at most. Each branch has two
	// children or more, and no file has 2^32 pages.
	maxDepth = 32
)

var order = binary.NativeEndian

// pages reads a database without bbolt, which believes what is on its pages: it would
// panic, run for ever, or write over what is stored.
type pages struct {
	file *os.File
	size int
	high uint64 // ids are below it
	used []bool // by id: met in a tree, in the list of free pages, or that list itself
	root uint64 // page of the bucket of buckets
	free uint64 // page of the list of free pages
	txid uint64 // transaction that wrote the file last
}

// visitor is told of every bucket, and of every key in it with its value. The
// slices are valid during the call only.
type visitor interface {
	bucket(name []byte)
	entry(bucket, key, value []byte) error
}

// inspect reads every page of the file that is in use and tells v what is on them.
// It makes sure that bbolt can read and write the file: both meta pages are whole,
// each page belongs to one tree or is free, and all keys are in order. Memory is
// bounded by the size of the file, and nothing waits but for the disk.
func inspect(file *os.File, v visitor) (*pages, error) {
	p := &pages{file: file}
	if err := p.readMeta(); err != nil {
		return nil, err
	}
	if err := p.tree(p.root, span{}, 0, func(flags uint32, name, value []byte) error {
		if flags != 1 {
			return fmt.Errorf("%q is no bucket", name)
		}
		name = bytes.Clone(name)
		v.bucket(name)
		return p.bucket(value, func(flags uint32, key, value []byte) error {
			if flags != 0 {
				return fmt.Errorf("a value of %q has flags %#x", name, flags)
			}
			return v.entry(name, key, value)
		})
	}); err != nil {
		return nil, err
	}
	if err := p.readFree(); err != nil {
		return nil, err
	}
	for id, used := range p.used {
		if !used {
			return nil, fmt.Errorf("page %d belongs to nothing", id)
		}
	}
	return p, nil
}

// readMeta reads the first two pages, which are written in turn. Both must be whole:
// with the older of them alone the file would be as it was a transaction ago.
func (p *pages) readMeta() error {
	fi, err := p.file.Stat()
	if err != nil {
		return err
	}
	var b [2][metaSize]byte
	if _, err := p.file.ReadAt(b[0][:], pageHeader); err != nil {
		return fmt.Errorf("read page 0: %w", err)
	}
	size := order.Uint32(b[0][8:])
	if order.Uint32(b[0][:]) != metaMagic || size < minPage || size > maxPage || size&(size-1) != 0 {
		return errNoDatabase
	}
	p.size = int(size)
	if _, err := p.file.ReadAt(b[1][:], int64(size)+pageHeader); err != nil {
		return fmt.Errorf("read page 1: %w", err)
	}
	for i, m := range b {
		sum := fnv.New64a()
		sum.Write(m[:metaSize-8])
		if order.Uint32(m[:]) != metaMagic || order.Uint32(m[4:]) != metaVersion || order.Uint32(m[8:]) != size ||
			order.Uint64(m[56:]) != sum.Sum64() {
			return fmt.Errorf("page %d is not what was written", i)
		}
	}
	last, other := b[0][:], b[1][:]
	if order.Uint64(other[48:]) > order.Uint64(last[48:]) {
		last, other = other, last
	}
	p.root, p.free, p.high, p.txid = order.Uint64(last[16:]), order.Uint64(last[32:]), order.Uint64(last[40:]), order.Uint64(last[48:])
	if order.Uint64(other[48:])+1 != p.txid {
		return fmt.Errorf("pages 0 and 1 are of transactions %d and %d", order.Uint64(b[0][48:]), order.Uint64(b[1][48:]))
	}
	if p.high < 4 || p.high > uint64(fi.Size())/uint64(p.size) {
		return fmt.Errorf("the file is cut short: %d bytes for %d pages of %d", fi.Size(), p.high, p.size)
	}
	p.used = make([]bool, p.high)
	p.used[0], p.used[1] = true, true
	return nil
}

var errNoDatabase = errors.New("not a database")

// page reads a page with those that follow it as one, and notes that they are used.
func (p *pages) page(id uint64) ([]byte, error) {
	if id < 2 || id >= p.high {
		return nil, fmt.Errorf("page %d is not in the file", id)
	}
	b := make([]byte, p.size)
	if err := p.read(b, id); err != nil {
		return nil, err
	}
	more := uint64(order.Uint32(b[12:]))
	if order.Uint64(b) != id || more >= p.high-id {
		return nil, fmt.Errorf("page %d is not what was written", id)
	}
	for i := id; i <= id+more; i++ {
		if err := p.use(i); err != nil {
			return nil, err
		}
	}
	if more > 0 {
		b = append(b, make([]byte, more*uint64(p.size))...)
		if err := p.read(b[p.size:], id+1); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (p *pages) read(b []byte, id uint64) error {
	if _, err := p.file.ReadAt(b, int64(id)*int64(p.size)); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read page %d: %w", id, err)
	}
	return nil
}

func (p *pages) use(id uint64) error {
	if id >= p.high || p.used[id] {
		return fmt.Errorf("page %d is used twice, or not in the file", id)
	}
	p.used[id] = true
	return nil
}

// readFree reads the list of free pages, which bbolt writes to.
func (p *pages) readFree() error {
	b, err := p.page(p.free)
	if err != nil {
		return fmt.Errorf("read free pages: %w", err)
	}
	n, b := uint64(order.Uint16(b[10:])), b[pageHeader:]
	if n == 0xffff { // more than the header can say
		n, b = order.Uint64(b), b[8:]
	}
	if n > uint64(len(b))/8 {
		return fmt.Errorf("read free pages: %d are too many", n)
	}
	for last := uint64(0); n > 0; n, b = n-1, b[8:] {
		id := order.Uint64(b)
		if id <= last {
			return fmt.Errorf("free page %d is out of order", id)
		}
		last = id
		if err := p.use(id); err != nil {
			return err
		}
	}
	return nil
}

// bucket tells the keys of a bucket, by its value in the bucket of buckets.
func (p *pages) bucket(value []byte, f element) error {
	if len(value) < bucketHeader {
		return errors.New("a bucket is cut short")
	}
	if root := order.Uint64(value); root != 0 {
		return p.tree(root, span{}, 0, f)
	}
	if len(value) < bucketHeader+pageHeader {
		return errors.New("a bucket is cut short")
	}
	return leaf(value[bucketHeader:], span{}, f)
}

// element is a key of a leaf with its value.
type element func(flags uint32, key, value []byte) error

// span is a range of keys: from first on, and before end if that is not nil.
type span struct{ first, end []byte }

// next makes sure that a key comes next.
func (s *span) next(i int, key []byte) error {
	if c := bytes.Compare(key, s.first); c < 0 || i > 0 && c == 0 || s.end != nil && bytes.Compare(key, s.end) >= 0 {
		return fmt.Errorf("key %d is out of order", i)
	}
	s.first = key
	return nil
}

// tree tells the keys of a page and of those below it, in order.
func (p *pages) tree(id uint64, keys span, depth int, f element) error {
	b, err := p.page(id)
	if err != nil {
		return err
	}
	switch flags := order.Uint16(b[8:]); {
	case flags == leafPage:
		err = leaf(b, keys, f)
	case flags == branchPage && depth < maxDepth:
		err = p.branch(b, keys, depth, f)
	default:
		err = fmt.Errorf("it has flags %#x at depth %d", flags, depth)
	}
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// branch goes through the children of a page. An element is where its key lies from
// there (u32), the key's size (u32) and the child's page (u64).
func (p *pages) branch(b []byte, keys span, depth int, f element) error {
	n := int(order.Uint16(b[10:]))
	var child uint64
	for i := range n {
		at, err := elementAt(b, i, n)
		if err != nil {
			return err
		}
		key, err := cut(b, at, uint64(order.Uint32(b[at:])), uint64(order.Uint32(b[at+4:])))
		if err != nil {
			return err
		}
		first := keys.first
		if err := keys.next(i, key); err != nil {
			return err
		}
		if i > 0 {
			if err := p.tree(child, span{first, key}, depth+1, f); err != nil {
				return err
			}
		}
		child = order.Uint64(b[at+8:])
	}
	if n == 0 {
		return errors.New("it has no children")
	}
	return p.tree(child, keys, depth+1, f)
}

// leaf goes through the keys of a page. An element is its flags (u32), where its key
// lies from there (u32), and the sizes of the key and of the value behind it (u32).
func leaf(b []byte, keys span, f element) error {
	n := int(order.Uint16(b[10:]))
	for i := range n {
		at, err := elementAt(b, i, n)
		if err != nil {
			return err
		}
		pos, size := uint64(order.Uint32(b[at+4:])), uint64(order.Uint32(b[at+8:]))
		key, err := cut(b, at, pos, size)
		if err != nil {
			return err
		}
		value, err := cut(b, at, pos+size, uint64(order.Uint32(b[at+12:])))
		if err != nil {
			return err
		}
		if err := keys.next(i, key); err != nil {
			return err
		}
		if err := f(order.Uint32(b[at:]), key, value); err != nil {
			return err
		}
	}
	return nil
}

func elementAt(b []byte, i, n int) (int, error) {
	if pageHeader+n*elementSize > len(b) {
		return 0, fmt.Errorf("%d elements are too many", n)
	}
	return pageHeader + i*elementSize, nil
}

// cut is a part of a page that lies behind its element.
func cut(b []byte, at int, pos, size uint64) ([]byte, error) {
	from := uint64(at) + pos
	if from > uint64(len(b)) || size > uint64(len(b))-from {
		return nil, errors.New("an element lies outside the page")
	}
	return b[from : from+size : from+size], nil
}
