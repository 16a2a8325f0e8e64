// SPDX-License-Identifier: Apache-2.0

package cnfork

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fixture reads testdata/name.hex: a line that says where it comes from, then
// the bytes of one datagram. They were recorded on a little-endian machine.
func fixture(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(string(text), "\n")
	if !strings.HasPrefix(head, "# ") {
		t.Fatalf("%s: the first line does not say where it comes from", name)
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(body), ""))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return b
}

func TestDecodeProc(t *testing.T) {
	// Ids, codes and names are those of the fixtures' first lines. Seq, CPU
	// and Time were read off the bytes.
	for _, tt := range []struct {
		name string
		want Event
	}{
		{"fork", Event{Kind: Fork, PID: 15330, TGID: 15330, ParentPID: 15321, ParentTGID: 15321,
			Seq: 0xbda2, Time: 0x2a44858ef84}},
		{"thread", Event{Kind: Fork, PID: 15364, TGID: 15362, ParentPID: 15321, ParentTGID: 15321,
			Seq: 0xbdda, Time: 0x2a44a2e8a00}},
		{"exec", Event{Kind: Exec, PID: 15330, TGID: 15330, Seq: 0xbda3, Time: 0x2a4485c607a}},
		{"exit", Event{Kind: Exit, PID: 15330, TGID: 15330, ParentPID: 15321, ParentTGID: 15321,
			ExitCode: 7 << 8, ExitSignal: 17, Seq: 0xbda8, Time: 0x2a448899119}},
		{"kill", Event{Kind: Exit, PID: 15338, TGID: 15338, ParentPID: 15321, ParentTGID: 15321,
			ExitCode: 9, ExitSignal: 17, Seq: 0xbdaf, Time: 0x2a4489f8818}},
		{"thread-exit", Event{Kind: Exit, PID: 15364, TGID: 15362, ExitSignal: -1,
			Seq: 0xbde3, Time: 0x2a44a42f825}},
		{"uid", Event{Kind: UID, PID: 15356, TGID: 15356, RealID: 12345, EffectiveID: 12346,
			Seq: 0xbdd0, Time: 0x2a449da8399}},
		{"gid", Event{Kind: GID, PID: 15356, TGID: 15356, RealID: 12347, EffectiveID: 12348,
			Seq: 0xbdcf, Time: 0x2a449da01b7}},
		{"sid", Event{Kind: SID, PID: 15350, TGID: 15350, Seq: 0xbdbc, Time: 0x2a4495855f4}},
		{"comm", Event{Kind: Comm, PID: 15356, TGID: 15356, Seq: 0xbdce, Time: 0x2a449d9dfea}},
		{"coredump", Event{Kind: Coredump, PID: 15344, TGID: 15344, ParentPID: 15321, ParentTGID: 15321,
			CPU: 1, Seq: 0xa8b7, Time: 0x2a4490cea76}},
		{"ptrace", Event{Kind: Other, Seq: 0xbde5, Time: 0x2a44a617ee3}},
		{"ack", Event{Kind: Ack, Seq: 0xbde7, Time: 0x2a44aad3455}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := fixture(t, tt.name)
			if len(b) != 76 {
				t.Fatalf("the fixture has %d bytes, want 76", len(b))
			}
			got, err := DecodeProc(b)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
			for n := range b {
				if got, err := DecodeProc(b[:n]); err == nil || got != (Event{}) {
					t.Errorf("cut to %d bytes: %+v, %v; want an error and nothing", n, got, err)
				}
			}
			// Padding, or fields that a later kernel adds.
			if got, err := DecodeProc(append(bytes.Clone(b), 1, 2, 3, 4)); err != nil || got != tt.want {
				t.Errorf("with four bytes more: %+v, %v", got, err)
			}
		})
	}
	if got := ackNumber(fixture(t, "ack")); got != 3886623372+1 {
		t.Errorf("ackNumber() = %d, want one more than 3886623372", got)
	}
}

// Each inner length is checked against what the kind needs.
func TestDecodeProcInnerLength(t *testing.T) {
	for name, least := range map[string]int{
		"fork": 32, "exec": 24, "exit": 32, "uid": 32, "gid": 32, "sid": 24,
		"comm": 24, "coredump": 24, "ptrace": 16, "ack": 20,
	} {
		b := fixture(t, name)
		whole, err := DecodeProc(b)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 41 {
			binary.NativeEndian.PutUint16(b[32:], uint16(n))
			got, err := DecodeProc(b)
			switch {
			case n < least && err == nil:
				t.Errorf("%s of %d bytes: %+v, want an error", name, n, got)
			case n >= least && err != nil:
				t.Errorf("%s of %d bytes: %v", name, n, err)
			case n >= least && (got.PID != whole.PID || got.ExitCode != whole.ExitCode):
				t.Errorf("%s of %d bytes: %+v, want %+v", name, n, got, whole)
			}
		}
		binary.NativeEndian.PutUint16(b[32:], 41) // more than there is
		if got, err := DecodeProc(b); !errors.Is(err, errShort) {
			t.Errorf("%s that claims 41 bytes of 40: %+v, %v", name, got, err)
		}
	}
	// A kernel before 4.18 has no parent in Exit.
	b := fixture(t, "exit")
	binary.NativeEndian.PutUint16(b[32:], 32)
	got, err := DecodeProc(b)
	if want := (Event{Kind: Exit, PID: 15330, TGID: 15330, ExitCode: 7 << 8, ExitSignal: 17,
		Seq: 0xbda8, Time: 0x2a448899119}); err != nil || got != want {
		t.Errorf("exit without parent: %+v, %v; want %+v", got, err, want)
	}
}

// The text messages are written out by hand from the format that the fork
// connector's patch documents: nlmsghdr, cn_msg, "PARENT CHILD" and a NUL.
func TestDecodeFork(t *testing.T) {
	const (
		header = "03000000" + "2a000000" + "00000000" // type and flags, seq, port
		id     = "edfe0000" + "efbe0000" + "2a000000" + "00000000"
	)
	le := func(n int) string { return hex.EncodeToString([]byte{byte(n), 0, 0, 0}) }
	datagram := func(text string, pad int) string {
		return le(36+len(text)) + header + id + le(len(text)) + hex.EncodeToString([]byte(text)) + strings.Repeat("00", pad)
	}
	for _, tt := range []struct {
		name, in string
		want     Event
		err      error
	}{
		{"usual", datagram("1234 1240\x00", 2), Event{Kind: Fork, ParentPID: 1234, PID: 1240, Seq: 42}, nil},
		{"not padded", datagram("1234 1240\x00", 0), Event{Kind: Fork, ParentPID: 1234, PID: 1240, Seq: 42}, nil},
		{"aligned", datagram("1 33333\x00", 0), Event{Kind: Fork, ParentPID: 1, PID: 33333, Seq: 42}, nil},
		{"idle task forks init", datagram("0 1\x00", 0), Event{Kind: Fork, ParentPID: 0, PID: 1, Seq: 42}, nil},
		{"highest", datagram("2147483647 2147483647\x00", 0), Event{Kind: Fork, ParentPID: 1<<31 - 1, PID: 1<<31 - 1, Seq: 42}, nil},
		{"padded length", le(36+12) + header + id + le(10) + hex.EncodeToString([]byte("1234 1240\x00\x00\x00")),
			Event{Kind: Fork, ParentPID: 1234, PID: 1240, Seq: 42}, nil},
		{"too high", datagram("2147483648 1\x00", 0), Event{}, errText},
		{"far too high", datagram("1 99999999999999999999999999\x00", 0), Event{}, errText},
		{"negative", datagram("-1 1\x00", 0), Event{}, errText},
		{"no NUL", datagram("1234 1240", 0), Event{}, errText},
		{"text after NUL", datagram("1234 1240\x00x", 0), Event{}, errText},
		{"one pid", datagram("1234\x00", 0), Event{}, errText},
		{"three pids", datagram("1 2 3\x00", 0), Event{}, errText},
		{"no first pid", datagram(" 2\x00", 0), Event{}, errText},
		{"no second pid", datagram("2 \x00", 0), Event{}, errText},
		{"two spaces", datagram("1  2\x00", 0), Event{}, errText},
		{"leading zero", datagram("1 02\x00", 0), Event{}, errText},
		{"not a number", datagram("1 2a\x00", 0), Event{}, errText},
		{"empty", datagram("", 0), Event{}, errText},
		{"longer than it is", le(36+9) + header + id + le(10) + hex.EncodeToString([]byte("1234 1240")), Event{}, errShort},
		{"process connector", hex.EncodeToString(fixture(t, "fork")), Event{}, errForeign},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := hex.DecodeString(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			got, err := DecodeFork(b)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %+v, %v; want %+v, %v", got, err, tt.want, tt.err)
			}
			for n := range min(len(b), 45) { // every text is longer or wrong
				if got, err := DecodeFork(b[:n]); n < int(b[0]) && (err == nil || got != (Event{})) {
					t.Errorf("cut to %d bytes: %+v, %v; want an error and nothing", n, got, err)
				}
			}
		})
	}
	if got, err := DecodeProc(mustHex(t, datagram("1 2\x00", 0))); !errors.Is(err, errForeign) {
		t.Errorf("DecodeProc of a fork connector message: %+v, %v", got, err)
	}
}

func mustHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The request is written out by hand from include/uapi/linux/cn_proc.h.
func TestAppendRequest(t *testing.T) {
	want := mustHex(t, "28000000"+"03000000"+"00000000"+"00000000"+ // nlmsghdr
		"01000000"+"01000000"+"00000000"+"78563412"+"04000000"+ // cn_msg
		"01000000") // PROC_CN_MCAST_LISTEN
	if diff := cmp.Diff(want, appendRequest(nil, opListen, 0x12345678)); diff != "" {
		t.Errorf("LISTEN (-want +got):\n%s", diff)
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	proc, short := fixture(t, "exit"), make([]byte, 5)
	text := AppendFork(nil, Event{ParentPID: 1234, PID: 1240})
	if n := testing.AllocsPerRun(100, func() {
		DecodeProc(proc)
		DecodeProc(short)
		DecodeFork(text)
		DecodeFork(short)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
