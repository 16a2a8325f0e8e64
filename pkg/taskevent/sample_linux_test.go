// SPDX-License-Identifier: Apache-2.0

package taskevent

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/cnfork"
)

// written is a sample of a kind: process 20, begun at 1000.
func written(kind uint32, size int, fill func(b []byte, ne binary.ByteOrder)) []byte {
	b, ne := make([]byte, size), binary.NativeEndian
	ne.PutUint32(b[sampleKind:], kind)
	ne.PutUint32(b[sampleTGID:], 20)
	ne.PutUint64(b[sampleStart:], 1000)
	if fill != nil {
		fill(b, ne)
	}
	return b
}

func TestDecode(t *testing.T) {
	base := cnfork.Event{PID: 20, TGID: 20, Start: 1000}
	with := func(change func(*cnfork.Event)) cnfork.Event { e := base; change(&e); return e }
	for _, tt := range []struct {
		name string
		b    []byte
		want cnfork.Event
		ok   bool
	}{
		{"fork", written(kindFork, forkSample, func(b []byte, ne binary.ByteOrder) {
			ne.PutUint32(b[sampleForker:], 10)
			ne.PutUint32(b[sampleParent:], 9)
			ne.PutUint64(b[sampleForkerStart:], 500)
		}), with(func(e *cnfork.Event) {
			e.Kind, e.ParentPID, e.ParentTGID, e.Forker, e.ForkerStart = cnfork.Fork, 9, 9, 10, 500
		}), true},
		{"exec", written(kindExec, execSample, func(b []byte, ne binary.ByteOrder) {
			ne.PutUint32(b[sampleUID:], 1000)
			ne.PutUint32(b[sampleGID:], 100)
			ne.PutUint64(b[sampleCgroup:], 7)
			copy(b[sampleComm:], "make")
		}), with(func(e *cnfork.Event) {
			e.Kind, e.UID, e.GID, e.Cgroup, e.Comm = cnfork.Exec, 1000, 100, 7, [16]byte{'m', 'a', 'k', 'e'}
		}), true},
		{"exit", written(kindExit, exitSample, func(b []byte, ne binary.ByteOrder) {
			ne.PutUint64(b[sampleEnd:], 2000)
			ne.PutUint64(b[samplePeak:], 3)
		}), with(func(e *cnfork.Event) { e.Kind, e.End, e.Peak = cnfork.Exit, 2000, 3*pageSize }), true},
		{"of an unknown kind", written(9, exitSample, nil), base, false},
		{"an exec in the size of an exit", written(kindExec, exitSample, nil), base, false},
		{"a release", make([]byte, 64), base, false},
		{"short", written(kindExit, exitSample, nil)[:31], cnfork.Event{}, false},
		{"nothing", nil, cnfork.Event{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got cnfork.Event
			if ok := decode(tt.b, &got); ok != tt.ok {
				t.Fatalf("decoded: %v, want %v", ok, tt.ok)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" && tt.ok {
				t.Errorf("event (-want +got):\n%s", diff)
			}
			if n := testing.AllocsPerRun(10, func() { decode(tt.b, &got) }); n > 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}
