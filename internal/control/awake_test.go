// SPDX-License-Identifier: Apache-2.0

package control

import (
	"os"
	"testing"
	"time"

	"elsa/internal/engine"
	"elsa/internal/pipeline"
	"elsa/pkg/api"
	"elsa/pkg/clock"
	"elsa/pkg/cnfork"
	"elsa/pkg/proc"
	"elsa/pkg/stream"
)

// A process that was forked since the machine woke up, and before the next step, can
// be added to a group: its event is stamped by a clock that stood still meanwhile.
func TestAddForkedSinceAwake(t *testing.T) {
	s, events := newService(t, "")
	s.create(t, root, "g")
	now := engine.Now{Boot: proc.Now().Add(-time.Hour), Wall: time.Now()}
	if err := s.Pipeline.Do(t.Context(), func(turn pipeline.Turn) error {
		// As it was before an hour's sleep: the pipeline reads the clocks anew.
		turn.Engine().SetClocks(now, proc.Asleep()-time.Hour, 0)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	pid := sleep(t, api.Caller{UID: uint32(os.Getuid())})
	p, err := proc.Default.Process(int32(pid))
	if err != nil {
		t.Fatal(err)
	}
	events.Send(&stream.Batch[cnfork.Event]{Items: []cnfork.Event{{
		Kind: cnfork.Fork, PID: int32(pid), TGID: int32(pid), ParentPID: int32(os.Getpid()), ParentTGID: int32(os.Getpid()),
		Time: clock.Mono(p.Start.Boot().Add(10*time.Millisecond - proc.Asleep())),
	}}})
	if r, err := s.AddMembers(t.Context(), root, "g", api.AddRequest{PIDs: []int{pid}}); err != nil || len(r.Added) != 1 {
		t.Errorf("added %v: %v", r.Added, err)
	}
}
