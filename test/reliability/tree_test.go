// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"elsa/pkg/client"
	"elsa/pkg/proc"
	"elsa/test/workload"
)

// tree is a process in a group that makes pairs of processes that live on, one
// the child of the other, when it is told to. Its processes can be told from
// all others by /proc alone.
type tree struct {
	t     testing.TB
	cmd   *exec.Cmd
	root  int
	in    io.WriteCloser
	out   *bufio.Reader
	pairs int
}

func (d *daemon) tree(group string) *tree {
	d.t.Helper()
	t := &tree{t: d.t, cmd: d.command("run", "-g", group, "--quiet", "--", "sh", "-c",
		`echo $$; while read line; do (sleep 1000 & echo made; wait) & done`)}
	t.in, t.out = pipes(d.t, t.cmd)
	fmt.Sscan(t.line(), &t.root)
	d.t.Cleanup(func() { t.fell(); t.in.Close(); t.cmd.Wait() })
	return t
}

func (t *tree) line() string {
	t.t.Helper()
	line, err := t.out.ReadString('\n')
	if err != nil {
		t.t.Fatalf("the tree says nothing: %v", err)
	}
	return strings.TrimSpace(line)
}

// grow makes n pairs.
func (t *tree) grow(n int) {
	t.t.Helper()
	for range n {
		fmt.Fprintln(t.in)
		t.line()
		t.pairs++
	}
}

// pids are the living processes of the tree, by /proc.
func (t *tree) pids() []int {
	t.t.Helper()
	procs, err := proc.Default.Snapshot(nil)
	if err != nil {
		t.t.Fatal(err)
	}
	children := map[int32][]int32{}
	for i := range procs {
		if !procs[i].Dead() {
			children[procs[i].PPID] = append(children[procs[i].PPID], procs[i].PID)
		}
	}
	var pids []int
	if p, err := proc.Default.Process(int32(t.root)); err == nil && !p.Dead() {
		pids = append(pids, t.root)
	}
	for next := []int32{int32(t.root)}; len(next) > 0; next = next[1:] {
		for _, c := range children[next[0]] {
			pids = append(pids, int(c))
			next = append(next, c)
		}
	}
	slices.Sort(pids)
	return pids
}

// made is how many processes the tree ever had.
func (t *tree) made() int { return 1 + 2*t.pairs }

// fell ends all of it, leaves first.
func (t *tree) fell() {
	pids := t.pids()
	for _, pid := range slices.Backward(pids) {
		if pid != t.root {
			unix.Kill(pid, unix.SIGKILL)
		}
	}
	if len(pids) > 0 {
		unix.Kill(t.root, unix.SIGKILL)
	}
}

// members are the pids in a group as the service has them.
func (d *daemon) members(group string) []int {
	d.t.Helper()
	var g client.GroupDetail
	if err := json.Unmarshal([]byte(d.ctl("group", "show", group, "-o", "json")), &g); err != nil {
		d.t.Fatal(err)
	}
	pids := []int{}
	for _, m := range g.Members {
		pids = append(pids, m.PID)
	}
	slices.Sort(pids)
	return pids
}

// spawner makes one child at a time, when it is told to.
type spawner struct {
	t    testing.TB
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	made int
}

// spawner starts one in a group, or outside all groups if the name is empty.
// Its children burn ms milliseconds.
func (d *daemon) spawner(group string, ms int) *spawner {
	d.t.Helper()
	args := []string{workload.Build(d.t), "spawn", fmt.Sprint(ms)}
	s := &spawner{t: d.t, cmd: exec.Command(args[0], args[1:]...)}
	if group != "" {
		s.cmd = d.command(append([]string{"run", "-g", group, "--quiet", "--"}, args...)...)
	}
	s.in, s.out = pipes(d.t, s.cmd)
	d.t.Cleanup(func() { s.in.Close(); s.cmd.Wait() })
	return s
}

// one makes a child and returns its pid when it was waited for.
func (s *spawner) one() (pid int) {
	s.t.Helper()
	s.in.Write([]byte{'.'})
	line, err := s.out.ReadString('\n')
	if err != nil {
		s.t.Fatalf("the spawner says nothing: %v", err)
	}
	fmt.Sscan(line, &pid)
	s.made++
	return pid
}

// end ends it and returns what it says it made.
func (s *spawner) end() workload.Truth {
	s.t.Helper()
	l := load{t: s.t, cmd: s.cmd, in: s.in, out: s.out}
	return l.end()
}

// pipes starts a command whose input and output are ours.
func pipes(t testing.TB, cmd *exec.Cmd) (io.WriteCloser, *bufio.Reader) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return in, bufio.NewReader(out)
}
