// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Header is what a segment begins with.
type Header struct {
	// Number names the segment, from 1. Base is the first row number that it can have.
	Number, Base uint64
	// Source is the id of the database whose rows these are, and Boot the kernel's of
	// the boot: UUIDs.
	Source, Boot [16]byte
	// Host is the host's name.
	Host string
}

// The header: magic with a version; how many bytes are committed, which is written
// anew, as 32 bits and their CRC-32C; length and CRC-32C of the rest; the rest.
const (
	segmentMagic = "ELSAJRN\x02"
	committedAt  = 8
	lengthAt     = 16
	checksumAt   = 20
	headerAt     = 24
	maxHeader    = headerAt + 8 + 8 + 16 + 16 + 1 + maxText
)

func encodeCommitted(n int64) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(n))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func (h *Header) encode(committed int64) []byte {
	b := append(make([]byte, 0, maxHeader), segmentMagic...)
	b = append(b, encodeCommitted(committed)...)
	b = append(b, make([]byte, 8)...)
	b = binary.LittleEndian.AppendUint64(b, h.Number)
	b = binary.LittleEndian.AppendUint64(b, h.Base)
	b = append(append(b, h.Source[:]...), h.Boot[:]...)
	host := h.Host[:min(len(h.Host), maxText)]
	b = append(append(b, byte(len(host))), host...)
	binary.LittleEndian.PutUint32(b[lengthAt:], uint32(len(b)))
	binary.LittleEndian.PutUint32(b[checksumAt:], crc32.Checksum(b[headerAt:], castagnoli))
	return b
}

// decodeHeader returns the header at the beginning of b, and how long it is.
func decodeHeader(b []byte) (h Header, n int64, err error) {
	if len(b) < headerAt || string(b[:len(segmentMagic)]) != segmentMagic {
		return h, 0, errors.New("this is no journal of a version that can be read")
	}
	length := binary.LittleEndian.Uint32(b[lengthAt:])
	if int64(length) > int64(len(b)) || length < maxHeader-maxText {
		return h, 0, errors.New("its header is cut off")
	}
	rest := b[headerAt:length]
	if crc32.Checksum(rest, castagnoli) != binary.LittleEndian.Uint32(b[checksumAt:]) {
		return h, 0, fmt.Errorf("its header has a %w", errChecksum)
	}
	h.Number, h.Base = binary.LittleEndian.Uint64(rest), binary.LittleEndian.Uint64(rest[8:])
	copy(h.Source[:], rest[16:])
	copy(h.Boot[:], rest[32:])
	h.Host = string(rest[49:])
	return h, int64(length), nil
}

// Segment is a segment open for reading. It belongs to one goroutine, who closes it.
type Segment struct {
	Header
	file *os.File
	at   int64 // what was read ends here
	dec  decoder
	buf  []byte
}

// OpenSegment opens segment n of the journal in dir. The error wraps fs.ErrNotExist if
// there is none, and is a [*Damage] if its header cannot be read.
func OpenSegment(dir string, n uint64) (*Segment, error) {
	f, err := os.OpenFile(segmentPath(dir, n), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open journal segment: %w", err)
	}
	b := make([]byte, maxHeader)
	got, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		f.Close()
		return nil, fmt.Errorf("read journal segment %d: %w", n, err)
	}
	h, length, err := decodeHeader(b[:got])
	if err == nil && h.Number != n {
		err = fmt.Errorf("it says that it is segment %d", h.Number)
	}
	if err != nil {
		f.Close()
		return nil, &Damage{Segment: n, End: int64(got), Cause: err}
	}
	return &Segment{Header: h, file: f, at: length}, nil
}

// Close closes the file.
func (s *Segment) Close() error { return s.file.Close() }

// Committed is how many bytes of the segment are committed now. The rest may yet be
// cut off. The error is a [*Damage] if that cannot be read.
func (s *Segment) Committed() (int64, error) {
	var b [8]byte
	if _, err := s.file.ReadAt(b[:], committedAt); err != nil {
		return 0, fmt.Errorf("read journal segment %d: %w", s.Number, err)
	}
	n := int64(binary.LittleEndian.Uint32(b[:]))
	if !bytes.Equal(b[:], encodeCommitted(n)) {
		return 0, &Damage{Segment: s.Number, At: committedAt, End: lengthAt, Cause: fmt.Errorf("how much is committed has a %w", errChecksum)}
	}
	return n, nil
}

// Read tells v what was committed since the last call. A block that is not whole yet,
// at the end of the file, is left for the next call.
func (s *Segment) Read(v *Visitor) error {
	end, err := s.Committed()
	if d, damaged := errors.AsType[*Damage](err); damaged && v.Damage != nil {
		v.Damage(d)
		return nil
	}
	if err != nil {
		return err
	}
	return s.readTo(end, v)
}

func (s *Segment) readTo(end int64, v *Visitor) error {
	if s.buf == nil {
		s.buf = make([]byte, maxBlock)
	}
	bad := int64(-1) // where a stretch that cannot be read begins
	var cause error
	tell := func() {
		if bad >= 0 && v.Damage != nil {
			v.Damage(&Damage{Segment: s.Number, At: bad, End: s.at, Cause: cause})
		}
		bad = -1
	}
	for s.at < end {
		b := s.buf[:min(int64(len(s.buf)), end-s.at)]
		n, err := s.file.ReadAt(b, s.at)
		if err != nil && err != io.EOF {
			return fmt.Errorf("read journal segment %d: %w", s.Number, err)
		}
		if b = b[:n]; n == 0 {
			break
		}
		payload, err := payloadOf(b)
		if err == nil && payload == nil && bad < 0 && int64(n) < end-s.at {
			break // the end of the file, which is shorter than what is committed
		}
		if err != nil || payload == nil {
			if bad < 0 {
				bad, cause = s.at, cmp.Or(err, io.ErrUnexpectedEOF)
			}
			s.at += int64(nextMagic(b))
			continue
		}
		tell()
		if err := s.dec.block(payload, v); err != nil {
			bad, cause = s.at, err
		}
		s.at += int64(blockHeader + len(payload))
		tell()
	}
	tell()
	return nil
}

// nextMagic is where in b, after its first byte, a block may begin; all of b is passed
// over if there is none, but for what may be the beginning of one.
func nextMagic(b []byte) int {
	var magic [4]byte
	binary.LittleEndian.PutUint32(magic[:], blockMagic)
	if i := bytes.Index(b[1:], magic[:]); i >= 0 {
		return i + 1
	}
	return max(len(b)-len(magic)+1, 1)
}

// Where things are: an archive, in it the journal, and the file that says up to which
// segment that is sealed.
const (
	DefaultArchive = "/var/lib/elsa-archive"
	Subdir         = "journal"
	SealedName     = "sealed"
)

// suffix ends the name of a segment, which is its number in ten digits.
const suffix = ".journal"

func segmentPath(dir string, n uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%010d%s", n, suffix))
}
