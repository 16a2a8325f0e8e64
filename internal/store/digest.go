// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
	bolt "go.etcd.io/bbolt"
)

// sumSize is how long the checksum is that ends each value: the low half of the sum
// of what it stands for.
const sumSize = 4

// sumOf is a checksum of a value, its key and its bucket: one that is found at
// another place is wrong there.
func sumOf(bucket int, key, value []byte) uint64 {
	var d xxhash.Digest
	d.ResetWithSeed(uint64(bucket)<<32 | uint64(len(key)))
	d.Write(key)
	d.Write(value)
	return d.Sum64()
}

// seal appends its checksum to a value, and returns the whole of the sum, too.
func seal(bucket int, key, value []byte) (sealed []byte, sum uint64) {
	sum = sumOf(bucket, key, value)
	return binary.LittleEndian.AppendUint32(value, uint32(sum)), sum
}

var errSum = errors.New("a value is not what was written")

// unseal is the value that seal was called with.
func unseal(bucket int, key, sealed []byte) (value []byte, sum uint64, err error) {
	n := len(sealed) - sumSize
	if n < 0 {
		return nil, 0, errSum
	}
	value = sealed[:n:n]
	if sum = sumOf(bucket, key, value); uint32(sum) != binary.LittleEndian.Uint32(sealed[n:]) {
		return nil, 0, errSum
	}
	return value, sum, nil
}

// digest is how many values there are, and the sum of their checksums. A
// transaction brings it up to date by what it changes alone.
type digest struct{ n, sum uint64 }

func (d *digest) add(sum uint64)    { d.n, d.sum = d.n+1, d.sum+sum }
func (d *digest) remove(sum uint64) { d.n, d.sum = d.n-1, d.sum-sum }

// digests are those of all buckets.
type digests [numBuckets]digest

// append encodes the digests after a transaction of bbolt: its number (u64), and of
// each bucket n and sum (u64), little endian.
func (d *digests) append(b []byte, txid uint64) []byte { return d.appendFirst(b, txid, numBuckets) }

// appendFirst is append of a file that has the first so many buckets alone.
func (d *digests) appendFirst(b []byte, txid uint64, n int) []byte {
	b = binary.LittleEndian.AppendUint64(b, txid)
	for i := range n {
		b = binary.LittleEndian.AppendUint64(b, d[i].n)
		b = binary.LittleEndian.AppendUint64(b, d[i].sum)
	}
	return b
}

// unsealed are keys of the meta record that carry no checksum, and are in no digest:
// the schema, for versions to come and gone, and the digests themselves.
func unsealed(bucket int, key []byte) bool {
	return bucket == inMeta && (bytes.Equal(key, keySchema) || bytes.Equal(key, keyDigests))
}

// bucket is one of a transaction, whose values are sealed.
type bucket struct {
	*bolt.Bucket
	in     int
	digest *digest
}

func (b *bucket) get(key []byte) ([]byte, error) {
	sealed := b.Get(key)
	if sealed == nil {
		return nil, nil
	}
	value, _, err := unseal(b.in, key, sealed)
	return value, b.named(err)
}

// put takes over value, with the room behind it.
func (b *bucket) put(key, value []byte) error {
	err := b.forget(key, b.Get(key))
	if err != nil {
		return err
	}
	sealed, sum := seal(b.in, key, value)
	b.digest.add(sum)
	return b.Put(key, sealed)
}

func (b *bucket) delete(key []byte) error {
	if err := b.forget(key, b.Get(key)); err != nil {
		return err
	}
	return b.Delete(key)
}

// forget takes a value that goes out of the digest.
func (b *bucket) forget(key, sealed []byte) error {
	if sealed == nil {
		return nil
	}
	_, sum, err := unseal(b.in, key, sealed)
	if err == nil {
		b.digest.remove(sum)
	}
	return b.named(err)
}

// each calls f for every value.
func (b *bucket) each(f func(key, value []byte) error) error {
	return b.ForEach(func(key, sealed []byte) error {
		if unsealed(b.in, key) {
			return nil
		}
		value, _, err := unseal(b.in, key, sealed)
		if err != nil {
			return b.named(err)
		}
		return f(key, value)
	})
}

func (b *bucket) named(err error) error {
	if err != nil {
		return damaged(fmt.Errorf("%s: %w", buckets[b.in], err))
	}
	return nil
}

// found is what [inspect] met in a file: the digests as its values give them, and
// those that were written.
type found struct {
	has     [numBuckets]bool
	digests digests
	schema  []byte
	written []byte // sealed
	wrong   error  // the first value whose checksum is
}

func (f *found) bucket(name []byte) {
	if in := indexOf(name); in >= 0 {
		f.has[in] = true
	}
}

func (f *found) entry(name, key, sealed []byte) error {
	in := indexOf(name)
	switch {
	case in < 0: // of a later version
	case in == inMeta && bytes.Equal(key, keySchema):
		f.schema = bytes.Clone(sealed)
	case in == inMeta && bytes.Equal(key, keyDigests):
		f.written = bytes.Clone(sealed)
	default:
		_, sum, err := unseal(in, key, sealed)
		if err != nil && f.wrong == nil {
			f.wrong = fmt.Errorf("%s: %w", name, err)
		}
		f.digests[in].add(sum)
	}
	return nil
}

// bucketsOf is how many buckets a file of a schema has.
func bucketsOf(schema byte) int {
	if schema < 3 {
		return inFills
	}
	return numBuckets
}

// agrees makes sure that the file is what its last transaction left, as long as it
// is of a schema that has digests.
func (f *found) agrees(txid uint64) error {
	n := bucketsOf(f.schema[0])
	for in, has := range f.has[:n] {
		if !has {
			return fmt.Errorf("bucket %q is missing", buckets[in])
		}
	}
	written, _, err := unseal(inMeta, keyDigests, f.written)
	switch {
	case f.wrong != nil:
		return f.wrong
	case err != nil:
		return fmt.Errorf("digest: %w", err)
	case !bytes.Equal(written, f.digests.appendFirst(nil, txid, n)):
		return errors.New("values are missing or too many: it is not what the last transaction left")
	}
	return nil
}

func indexOf(name []byte) int {
	return slices.IndexFunc(buckets[:], func(b []byte) bool { return bytes.Equal(b, name) })
}
