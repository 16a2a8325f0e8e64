// SPDX-License-Identifier: Apache-2.0

package control

import (
	"os"
	"slices"
	"testing"

	"elsa/internal/kerneltest"
	"elsa/pkg/api"
	"elsa/pkg/clock"
	"elsa/pkg/cnfork"
	"elsa/pkg/proc"
	"elsa/pkg/stream"
)

func TestMain(m *testing.M) { kerneltest.Main(m, nil) }

// A member that does not let itself be looked at is in the list all the same.
func TestKernelBusyMember(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root, kerneltest.FUSE)
	s, events := newService(t, "")
	admin, self := api.Caller{Admin: true}, os.Getpid()
	if _, err := s.CreateGroup(t.Context(), admin, api.CreateGroupRequest{Name: "g"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddMembers(t.Context(), admin, "g", api.AddRequest{PIDs: []int{self}}); err != nil {
		t.Fatal(err)
	}
	file := kerneltest.NewStuck(t)
	before := clock.Mono(proc.Now().Add(-proc.Asleep()))
	pid := int32(file.Spawn(t, "/bin/sleep", "60").PID)
	kerneltest.Eventually(t, "it waits in its exec", func() bool { return file.Held() > 0 })
	events.Send(&stream.Batch[cnfork.Event]{Items: []cnfork.Event{
		{Kind: cnfork.Fork, PID: pid, TGID: pid, ParentPID: int32(self), ParentTGID: int32(self), Time: before},
	}})
	d, err := s.Group(t.Context(), admin, "g")
	i := slices.IndexFunc(d.Members, func(m api.Member) bool { return m.PID == int(pid) })
	if err != nil || i < 0 || len(d.Members) != 2 {
		t.Fatalf("%+v, %v; want this process and %d", d.Members, err, pid)
	}
	_, err = s.Proc.Process(pid)
	kerneltest.Need(t, kerneltest.WaitsForExec(err != nil))
	if m := d.Members[i]; m.Command != "(unknown)" || m.PPID != self {
		t.Errorf("%+v", m)
	}
}
