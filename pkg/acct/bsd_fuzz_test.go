// SPDX-License-Identifier: Apache-2.0

package acct

import "testing"

// FuzzDecodeBSD: what decodes, encoded by its version and decoded again, is the
// same; what does not decode leaves nothing behind.
func FuzzDecodeBSD(f *testing.F) {
	for _, h := range handmade {
		f.Add(unhex(f, h.lines))
	}
	for _, line := range recorded(f) {
		f.Add(unhex(f, line))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Record
		if err := DecodeBSD(b, &r); err != nil {
			if r != (Record{}) {
				t.Fatalf("error and a record: %+v", r)
			}
			return
		}
		version, hz := b[1], uint16(ahz)
		switch version {
		case 2:
			hz = uint16(b[30]) | uint16(b[31])<<8
		case 2 | bigEndian:
			hz = uint16(b[31]) | uint16(b[30])<<8
		}
		again := appendBSD(nil, &r, version, hz)
		var r2 Record
		if err := DecodeBSD(again, &r2); err != nil {
			t.Fatalf("%x\nas %x: %v", b, again, err)
		}
		if r != r2 {
			t.Fatalf("%x\nas %x:\n%+v\n%+v", b, again, r, r2)
		}
	})
}
