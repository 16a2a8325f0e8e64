// SPDX-License-Identifier: Apache-2.0

package cnfork

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"strings"
	"testing"
)

// Law: what decodes is the event of the bytes it was decoded from, so writing
// it gives those bytes back, but for what an Event does not carry. What does
// not decode gives nothing.
func FuzzDecodeProc(f *testing.F) {
	names, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(names) == 0 {
		f.Fatalf("no fixtures: %v", err)
	}
	for _, name := range names {
		f.Add(fixture(f, strings.TrimSuffix(filepath.Base(name), ".hex")))
	}
	// Bytes of struct proc_event that an Event carries.
	carried := [Kinds]int{Ack: 20, Fork: 32, Exec: 24, UID: 32, GID: 32, SID: 24, Comm: 24, Coredump: 32, Exit: 40}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeProc(b)
		if err != nil {
			if e != (Event{}) {
				t.Errorf("error %v with an event: %+v", err, e)
			}
			return
		}
		if e.Kind == Other {
			return
		}
		data := make([]byte, procLen)
		n := int(binary.NativeEndian.Uint16(b[32:])) &^ 3 // whole fields
		copy(data[:carried[e.Kind]], b[nlLen+cnLen:][:n])
		got := AppendProc(nil, e)
		if !bytes.Equal(got[nlLen+cnLen:], data) {
			t.Errorf("%+v\nwritten  %x\nread was %x", e, got[nlLen+cnLen:], data)
		}
		if !bytes.Equal(got[16:28], b[16:28]) {
			t.Errorf("id and seq written %x, read was %x", got[16:28], b[16:28])
		}
		if again, err := DecodeProc(got); err != nil || again != e {
			t.Errorf("read again: %+v, %v; want %+v", again, err, e)
		}
	})
}

// Law: as above; the text has one form only.
func FuzzDecodeFork(f *testing.F) {
	f.Add([]byte{})
	f.Add(AppendFork(nil, Event{ParentPID: 1234, PID: 1240, Seq: 42}))
	f.Add(AppendFork(nil, Event{ParentPID: 0, PID: 1<<31 - 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeFork(b)
		if err != nil {
			if e != (Event{}) {
				t.Errorf("error %v with an event: %+v", err, e)
			}
			return
		}
		got := AppendFork(nil, e)
		if len(got)%4 != 0 {
			t.Errorf("%d bytes, not padded", len(got))
		}
		n := int(binary.NativeEndian.Uint16(b[32:]))
		text := got[nlLen+cnLen:][:binary.NativeEndian.Uint16(got[32:])]
		if !bytes.Equal(text, b[nlLen+cnLen:][:n]) {
			t.Errorf("written %q, read was %q", text, b[nlLen+cnLen:][:n])
		}
		if again, err := DecodeFork(got); err != nil || again != e {
			t.Errorf("read again: %+v, %v; want %+v", again, err, e)
		}
	})
}
