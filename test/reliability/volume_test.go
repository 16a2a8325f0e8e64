// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"elsa/internal/store"
	"elsa/pkg/acct"
	"elsa/pkg/client"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
	"elsa/test/workload"
)

// resident is elsad's own memory in KiB, without the pages of files.
func (d *daemon) resident() int {
	d.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		d.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[0] == "RssAnon:" {
			n, _ := strconv.Atoi(f[1])
			return n
		}
	}
	d.t.Fatal("no RssAnon")
	return 0
}

// storm runs n short processes in a group, two at a time, and returns how many
// there were in all and the most memory elsad had meanwhile, in KiB.
func (d *daemon) storm(group string, n int) (made uint64, most int) {
	d.t.Helper()
	cmd := d.command("run", "-g", group, "--quiet", "--", workload.Build(d.t), "storm", strconv.Itoa(n), "2")
	_, out := pipes(d.t, cmd)
	done := make(chan workload.Truth, 1)
	go func() {
		line, _ := out.ReadString('\n')
		truth, _ := workload.Parse([]byte(strings.TrimSpace(line)))
		cmd.Wait()
		done <- truth
	}()
	for {
		select {
		case truth := <-done:
			return uint64(truth.Processes), max(most, d.resident())
		case <-time.After(100 * time.Millisecond):
			most = max(most, d.resident())
		}
	}
}

// Short processes go through a group: 8,000, or a million. None is lost, elsad
// needs no more memory at the end than when it was warm, and its database has
// not grown by more than its page allocation.
func TestKernelMillion(t *testing.T) {
	needKernel(t)
	warm, n := 4_000, 8_000
	if soak() {
		warm, n = 50_000, 1_000_000
	}
	d := newDaemon(t, t.TempDir())
	d.start()
	made, warmed := d.storm("million", warm)
	d.report()
	stored := d.status().StoreBytes
	more, most := d.storm("million", n)
	made += more
	u := groupOf(t, d.report(), "million")
	s := d.status()
	lost, doubled := differ(made, u.Usage.ProcessesEnded)
	if lost+doubled != 0 || u.Usage.ProcessesLive != 0 || s.Events.Lost != 0 {
		t.Errorf("%d made, %d ended, %d live; %d events lost", made, u.Usage.ProcessesEnded, u.Usage.ProcessesLive, s.Events.Lost)
	}
	if bound := warmed + warmed/4 + 8<<10; most > bound {
		t.Errorf("%d KiB of memory, %d when warm: want %d at most", most, warmed, bound)
	}
	if s.StoreBytes > stored+1<<20 {
		t.Errorf("the database grew from %d to %d bytes", stored, s.StoreBytes)
	}
	row(t, "Short processes through one group", int(more), made, lost, doubled,
		fmt.Sprintf("most memory %.1f MiB, %.1f when warm; database %d KiB, %d when warm; %d exact, %d sampled",
			float64(most)/1024, float64(warmed)/1024, s.StoreBytes>>10, stored>>10, u.Precision.Exact, u.Precision.Sampled))
}

// One process goes through many groups, and has a child in each.
func TestKernelManyGroups(t *testing.T) {
	needKernel(t)
	n := 500
	if soak() {
		n = 10_000
	}
	d := newDaemon(t, t.TempDir())
	d.start()
	c := client.New(d.socket())
	defer c.Close()
	s := d.spawner("", 0)
	name := func(i int) string { return fmt.Sprintf("g%05d", i) }
	for i := range n {
		if _, err := c.CreateGroup(t.Context(), client.CreateGroupRequest{Name: name(i)}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.AddMembers(t.Context(), name(i), client.AddRequest{PIDs: []int{s.cmd.Process.Pid}, Move: true}); err != nil {
			t.Fatal(err)
		}
		s.one()
	}
	s.end() // in the last group
	d.kill()
	d.start()
	r := d.report()
	var got, lost, doubled uint64
	for i, g := range r.Groups {
		want := uint64(1)
		if i == n-1 {
			want = 2
		}
		less, more := differ(want, g.Usage.ProcessesEnded)
		if lost, doubled, got = lost+less, doubled+more, got+g.Usage.ProcessesEnded; less+more != 0 || g.Usage.ProcessesLive != 0 {
			t.Errorf("%s: %+v", g.Name, g.Usage)
		}
	}
	if len(r.Groups) != n || got != uint64(n)+1 {
		t.Errorf("%d groups, %d deaths in them", len(r.Groups), got)
	}
	series := 0
	for name := range d.metrics() {
		if strings.HasPrefix(name, "elsa_group_processes{") {
			series++
		}
	}
	st := d.status()
	row(t, "Groups, each with a process that moves on and a child of it; SIGKILL at the end", n, got, lost, doubled,
		fmt.Sprintf("database %d KiB; %.1f MiB of memory", st.StoreBytes>>10, float64(d.resident())/1024))
	if series == 0 {
		t.Error("no series of groups")
	}
}

// 100,000 members of 1,000 groups, made up: what a stream of events and lines
// says goes through tracker, join and database, with a restart while all live.
func TestMembers(t *testing.T) {
	const members, inGroups = 100_000, 1000
	path := filepath.Join(t.TempDir(), "elsa.db")
	db, err := store.Open(path, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	tr, j := groups.New(groups.NewSets()), usage.NewJoin()
	born := func(i int) clock.Boot { return clock.Boot(i+1) * 1e6 }
	start := func(i int) clock.Start { return clock.At(born(i), clock.Stamped) }
	commit := func() {
		t.Helper()
		tr.TakeStarts(j.Start)
		if err := db.Commit(func(tx *store.Tx) {
			j.TakeChanged(func(id groups.SetID, u *usage.Usage) { tx.PutSet(id, tr.Sets.Groups(id), u) })
			tr.TakeChanged(func(l groups.Life) { tx.PutMember(l, usage.Account{}) }, tx.DeleteMember)
		}); err != nil {
			t.Fatal(err)
		}
	}
	pid := func(i int) int32 { return int32(1000 + i) }
	for i := range members {
		if i < inGroups {
			tr.Fork(1, pid(i), start(i))
			tr.Add(pid(i), uint32(i+1), false)
		} else {
			tr.Fork(pid(i-inGroups), pid(i), start(i)) // a chain in each group
		}
		if i%10_000 == 0 {
			commit()
		}
	}
	commit()
	db.Close()
	size, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}

	if db, err = store.Open(path, time.Now()); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	st, err := db.Load()
	if err != nil {
		t.Fatal(err)
	}
	if len(st.Members) != members {
		t.Fatalf("%d members are stored, want %d", len(st.Members), members)
	}
	tr, j = groups.New(groups.NewSets()), usage.NewJoin()
	for i := range st.Sets {
		tr.Sets.Restore(st.Sets[i].ID, st.Sets[i].Groups)
		j.RestoreSet(st.Sets[i].ID, st.Sets[i].Usage)
	}
	for i := range st.Members {
		tr.Restore(st.Members[i].Life, 1, true)
	}
	want, got := map[uint32]uint64{}, map[uint32]uint64{}
	now := born(members) + 1e9
	for i := range members {
		tr.Exit(pid(i), pid(i), now)
		life, ok := tr.Take(pid(i), func(l *groups.Life) bool { return l.Start == start(i) })
		r := acct.Record{Source: acct.BSD, Whole: true, PID: pid(i), PPID: 1, Begin: int64(born(i)) / 1e9, CPU: time.Millisecond, User: time.Millisecond}
		j.Line(&r, life, ok, now)
		want[uint32(i%inGroups+1)]++
		if i%10_000 == 0 {
			commit()
		}
	}
	commit()
	st, err = db.Load()
	if err != nil {
		t.Fatal(err)
	}
	var lost, doubled uint64
	for i := range st.Sets {
		for _, g := range st.Sets[i].Groups {
			got[g] += st.Sets[i].Usage[usage.Ended]
		}
	}
	for g, n := range want {
		less, more := differ(n, got[g])
		lost, doubled = lost+less, doubled+more
	}
	if !maps.Equal(want, got) || len(st.Members) != 0 || tr.Processes() != 0 {
		t.Errorf("%d lost, %d doubled; %d groups of %d; %d members stored and %d tracked at the end",
			lost, doubled, len(got), len(want), len(st.Members), tr.Processes())
	}
	row(t, "Members at once, made up, in 1,000 groups; restart while all live", members, members, lost, doubled,
		fmt.Sprintf("database %.1f MiB: %d bytes a member", float64(size.Size())/(1<<20), size.Size()/members))
}
