// SPDX-License-Identifier: Apache-2.0

//go:build vm

package suite

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// vfork is what clone(2) is told by vfork(2).
const vfork = 0x4000 | 0x100 // CLONE_VFORK, CLONE_VM

// storm says what /bin/storm, the smallest process that forks, shall do.
type storm struct {
	count  int
	flags  uint64        // of clone3
	depth  int           // generations below the storm, at least 1
	burn   time.Duration // how long each child runs
	cgroup *cgroup       // where they are born, or nil
}

// forked is a child of a storm and the time from before its clone until it
// was reaped.
type forked struct {
	pid  int
	took time.Duration
}

// start starts the storm. The function it returns waits for its end.
func (s storm) start(t testing.TB) (pid int, wait func() []forked) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "storm"))
	if err != nil {
		t.Fatal(err)
	}
	fd := "-1"
	cmd := exec.Command("/bin/storm")
	if s.cgroup != nil {
		cmd.ExtraFiles = []*os.File{s.cgroup.File}
		fd = "3"
	}
	cmd.Args = append(cmd.Args, strconv.Itoa(s.count), strconv.FormatUint(s.flags, 10),
		strconv.Itoa(max(s.depth, 1)), strconv.FormatInt(int64(s.burn), 10), fd)
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid, func() []forked {
		t.Helper()
		defer out.Close()
		if err := cmd.Wait(); err != nil {
			t.Fatalf("storm: %v", err)
		}
		b, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		pairs := make([][2]int64, s.count)
		if err := binary.Read(bytes.NewReader(b), binary.NativeEndian, pairs); err != nil {
			t.Fatalf("%d bytes for %d children: %v", len(b), s.count, err)
		}
		children := make([]forked, s.count)
		for i, p := range pairs {
			children[i] = forked{int(p[0]), time.Duration(p[1])}
		}
		return children
	}
}

// run runs the storm and returns its pid and children.
func (s storm) run(t testing.TB) (pid int, children []forked) {
	t.Helper()
	pid, wait := s.start(t)
	return pid, wait()
}
