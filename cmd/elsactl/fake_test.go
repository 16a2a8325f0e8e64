// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"elsa/internal/history"
	"elsa/internal/tally"
	"elsa/pkg/api"
	"elsa/pkg/client"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// fake is a service in memory with two groups of known bills, web and ci. Each
// process that is added to a group costs it perProcess, which is on the bill
// once somebody waits for it.
type fake struct {
	mu       sync.Mutex
	snapshot usage.Snapshot
	members  map[string][]client.Member
	// journal is what was asked, a line each.
	journal []string
	// pending counts the processes added since somebody waited, by group.
	pending map[string]int
	// database is the file that a backup is a copy of.
	database string
	// fills is the version of what groups took, and stale how many more requests find it
	// to be another.
	fills uint64
	stale int
}

var perProcess = usage.Usage{
	usage.Ended: 1, usage.User: uint64(1500 * time.Millisecond), usage.System: uint64(250 * time.Millisecond), usage.Elapsed: uint64(2 * time.Second),
	usage.ReadBytes: 1 << 20, usage.WriteBytes: 4096, usage.MaxRSS: 3 << 20, usage.Exact: 1,
}

var day = time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)

func newFake() *fake {
	web := usage.Usage{
		usage.Started: 501, usage.Ended: 500, usage.Live: 1, usage.User: 1234567891, usage.System: uint64(2 * time.Second), usage.Elapsed: uint64(90 * time.Minute),
		usage.MinorFaults: 11, usage.MajorFaults: 12, usage.ReadBytes: 13 << 20, usage.WriteBytes: 1536, usage.ReadChars: 15, usage.WriteChars: 16,
		usage.MaxRSS: 17 << 20, usage.VoluntarySwitches: 18, usage.InvoluntarySwitches: 19, usage.ExitNonzero: 20, usage.ExitSignal: 21, usage.CPUDelay: 2_250_000_000,
		usage.Exact: 400, usage.Sampled: 70, usage.Rounded: 30, usage.Inferred: 5,
	}
	ci := usage.Usage{usage.Started: 2, usage.Ended: 2, usage.User: uint64(26 * time.Hour), usage.System: uint64(100 * time.Second), usage.MaxRSS: 5 << 30, usage.Exact: 2}
	f := &fake{members: map[string][]client.Member{}, pending: map[string]int{}}
	f.snapshot = usage.Snapshot{
		Time: day.Add(10*time.Hour + 123456789),
		Groups: []usage.GroupTotal{
			{Group: groups.Group{ID: 1, Name: "ci", Created: day, Closed: day.Add(9 * time.Hour)}, Usage: ci},
			{Group: groups.Group{ID: 2, Name: "web", Owner: 4242, Created: day.Add(time.Hour), Labels: map[string]string{"team": "shop", "a": "b c"}}, Usage: web},
		},
		Ungrouped: usage.Usage{usage.Started: 7, usage.Ended: 7, usage.User: uint64(7 * time.Second)}, Unattributed: usage.Usage{usage.Ended: 1, usage.User: uint64(time.Millisecond)},
		Service: usage.Service{
			Created: day.Add(-24 * time.Hour), Started: day.Add(8 * time.Hour), EventSource: "proc", Accounting: "own", Taskstats: "on", Exact: "off: no BTF",
			Counts: tally.Counts{
				tally.Forks: 31, tally.Execs: 32, tally.Exits: 33, tally.OtherEvents: 34, tally.EventsLost: 35, tally.EventsRejected: 36, tally.Rescans: 1, tally.Lines: 41, tally.Taskstats: 42, tally.Exact: 43, tally.TaskstatsLost: 44, tally.ExactLost: 45, tally.SkippedBytes: 64, tally.LinesLost: 65, tally.Gaps: 66, tally.Missing: 48,
				tally.JoinedLedger: 5, tally.JoinedExact: 570,
			},
			BacklogBytes: 128, Processes: 52, Members: 1, StoreBytes: 32768, ConservationRatio: 0.99995,
		},
	}
	f.snapshot.AnyGroup.Add(&web)
	f.snapshot.AnyGroup.Add(&ci)
	f.snapshot.Total.Add(&f.snapshot.AnyGroup)
	f.snapshot.Total.Add(&f.snapshot.Ungrouped)
	f.snapshot.Total.Add(&f.snapshot.Unattributed)
	f.members["web"] = []client.Member{
		{PID: 17, PPID: 1, Command: "nginx", Started: day.Add(2 * time.Hour), CPUSeconds: 0.25, Groups: []string{"web"}},
		{PID: 4711, PPID: 17, Command: "evil\x1b[2J", Started: day.Add(3 * time.Hour), CPUSeconds: 75.06, Groups: []string{"ci", "web"}},
	}
	return f
}

// note writes to the journal. The caller holds the lock.
func (f *fake) note(format string, args ...any) {
	f.journal = append(f.journal, fmt.Sprintf(format, args...))
}

func (f *fake) find(name string) (*usage.GroupTotal, error) {
	for i := range f.snapshot.Groups {
		if g := &f.snapshot.Groups[i]; g.Group.Name == name {
			return g, nil
		}
	}
	return nil, api.NoSuchGroup(name)
}

func (f *fake) CreateGroup(_ context.Context, c api.Caller, r client.CreateGroupRequest) (client.Group, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("create %s %v", r.Name, r.Labels)
	if _, err := f.find(r.Name); err == nil {
		return client.Group{}, api.Conflict("group %s exists", r.Name)
	}
	return api.FromGroup(f.create(r.Name, c, r.Labels, r.Temporary)), nil
}

// create makes a group. The caller holds the lock.
func (f *fake) create(name string, c api.Caller, labels map[string]string, temporary bool) *groups.Group {
	id := uint32(len(f.snapshot.Groups) + 1)
	g := groups.Group{ID: id, Name: name, Owner: c.UID, Labels: labels, Temporary: temporary, Created: day.Add(time.Duration(id) * time.Minute)}
	f.snapshot.Groups = append(f.snapshot.Groups, usage.GroupTotal{Group: g})
	return &f.snapshot.Groups[len(f.snapshot.Groups)-1].Group
}

func (f *fake) Groups(context.Context, api.Caller) (gs []client.Group, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.snapshot.Groups {
		gs = append(gs, api.FromGroup(&f.snapshot.Groups[i].Group))
	}
	return gs, nil
}

func (f *fake) Group(_ context.Context, _ api.Caller, name string) (client.GroupDetail, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g, err := f.find(name)
	if err != nil {
		return client.GroupDetail{}, err
	}
	return client.GroupDetail{Group: api.FromGroup(&g.Group), Members: f.members[name]}, nil
}

func (f *fake) Ungrouped(context.Context, api.Caller) (client.Ungrouped, error) {
	return client.Ungrouped{}, nil
}

func (f *fake) AddMembers(_ context.Context, _ api.Caller, name string, r client.AddRequest) (client.AddResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g, err := f.find(name)
	if err != nil {
		return client.AddResult{}, err
	}
	if !g.Group.Open() {
		return client.AddResult{}, api.Conflict("group %s is closed", name)
	}
	var added []int
	for _, pid := range r.PIDs {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			return client.AddResult{}, api.NotFound("no process has pid %d", pid)
		}
		argv0, _, _ := strings.Cut(string(line), "\x00")
		f.note("add %s %d as %s tree=%v whole_life=%v move=%v", name, pid, argv0, r.Tree, r.WholeLife, r.Move)
		if !slices.ContainsFunc(f.members[name], func(m client.Member) bool { return m.PID == pid }) {
			f.members[name] = append(f.members[name], client.Member{PID: pid})
			added = append(added, pid)
			g.Usage[usage.Started]++
			f.pending[name]++
		}
	}
	return client.AddResult{Added: added}, nil
}

func (f *fake) Join(_ context.Context, c api.Caller, r api.JoinRequest) (api.JoinResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := api.JoinResult{Group: r.Group}
	if r.Group == "" {
		out.Group = fmt.Sprintf("run-%s-%d", time.Now().UTC().Format("20060102T150405"), c.PID)
	}
	g, err := f.find(out.Group)
	if err != nil {
		f.create(out.Group, c, r.Labels, r.Group == "")
		g, out.Created = &f.snapshot.Groups[len(f.snapshot.Groups)-1], true
	}
	if !g.Group.Open() {
		return out, api.Conflict("group %s is closed", out.Group)
	}
	comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.PID))
	argv0, _, _ := strings.Cut(string(comm), "\x00")
	f.note("join %s %d as %s %v", out.Group, c.PID, argv0, r.Labels)
	g.Usage[usage.Started]++
	f.pending[out.Group]++
	return out, nil
}

func (f *fake) RemoveMembers(_ context.Context, _ api.Caller, name string, r client.RemoveRequest) (client.RemoveResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.find(name); err != nil {
		return client.RemoveResult{}, err
	}
	f.note("remove %s %v tree=%v", name, r.PIDs, r.Tree)
	var removed []int
	f.members[name] = slices.DeleteFunc(f.members[name], func(m client.Member) bool {
		gone := slices.Contains(r.PIDs, m.PID)
		if gone {
			removed = append(removed, m.PID)
		}
		return gone
	})
	return client.RemoveResult{Removed: removed}, nil
}

func (f *fake) CloseGroup(_ context.Context, _ api.Caller, name string) (client.Group, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("close %s", name)
	g, err := f.find(name)
	if err != nil {
		return client.Group{}, err
	}
	if g.Group.Open() {
		g.Group.Closed = g.Group.Created.Add(time.Hour)
	}
	return api.FromGroup(&g.Group), nil
}

func (f *fake) DeleteGroup(_ context.Context, _ api.Caller, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("delete %s", name)
	g, err := f.find(name)
	if err != nil {
		return err
	}
	if g.Group.Name == "ci" {
		return api.Forbidden("group ci belongs to uid 0; only its owner, root and members of unix group elsa may do this")
	}
	f.snapshot.Groups = slices.DeleteFunc(f.snapshot.Groups, func(t usage.GroupTotal) bool { return t.Group.Name == name })
	return nil
}

func (f *fake) Usage(_ context.Context, c api.Caller, q client.UsageQuery) (client.UsageReport, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("usage %v wait=%v", q.Groups, q.Wait)
	if q.Wait {
		for name, n := range f.pending {
			if g, err := f.find(name); err == nil {
				for range n {
					g.Usage.Add(&perProcess)
				}
			}
		}
		clear(f.pending)
	}
	if q.Mine {
		return api.FromSnapshot(&f.snapshot, q.Groups, c.Has)
	}
	return api.FromSnapshot(&f.snapshot, q.Groups, nil)
}

func (f *fake) Cells(context.Context, api.Caller, client.CellsQuery) (client.Cells, error) {
	return client.Cells{}, api.Unavailable("no script asks for cells")
}

// Report is of three hours: two of the evening, one of the next day.
func (f *fake) Report(_ context.Context, who api.Caller, q client.ReportQuery) (client.Report, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("report %v by %s", q.Groups, q.By)
	var names []string
	rows := map[uint32][]int{}
	add := func(name string, at ...int) {
		for _, i := range at {
			id := f.snapshot.Groups[i].Group.ID
			rows[id] = append(rows[id], len(names))
		}
		names = append(names, name)
	}
	if len(q.Groups) == 0 {
		for i := range f.snapshot.Groups {
			add(f.snapshot.Groups[i].Group.Name, i)
		}
	} else {
		found, err := api.Select(q.Groups, len(f.snapshot.Groups), func(i int) string { return f.snapshot.Groups[i].Group.Name })
		if err != nil {
			return client.Report{}, err
		}
		for _, i := range found.Groups {
			add(f.snapshot.Groups[i].Group.Name, i)
		}
		for _, p := range found.Parents {
			add(p.Name, p.Groups...)
		}
	}
	r := history.NewReport(history.By(q.By), func(g uint32) []int { return rows[g] }, len(q.Groups) == 0)
	hour := usage.HourOf(day.Unix()) + 22
	for _, c := range []struct {
		history.Key
		usage.Usage
	}{
		{history.Key{Hour: hour, UID: 0, Groups: []uint32{1}, Command: "cc1"}, usage.Usage{usage.Ended: 3, usage.User: uint64(5 * time.Second), usage.System: uint64(time.Second), usage.Elapsed: uint64(time.Minute), usage.MinorFaults: 1000, usage.MajorFaults: 2, usage.MaxRSS: 9 << 20, usage.Exact: 3}},
		{history.Key{Hour: hour + 1, UID: 0, Groups: []uint32{1, 2}, Command: "ld"}, usage.Usage{usage.Ended: 1, usage.User: uint64(1500 * time.Millisecond), usage.Elapsed: uint64(2 * time.Second), usage.MinorFaults: 50, usage.ReadBytes: 4096, usage.MaxRSS: 20 << 20, usage.Sampled: 1}},
		{history.Key{Hour: hour + 2, UID: 4242, Command: "bash\x1b[2J"}, usage.Usage{usage.Ended: 7, usage.System: uint64(4 * time.Millisecond), usage.Elapsed: uint64(26 * time.Hour), usage.Exact: 7}},
		{history.Key{Hour: hour + 2, UID: usage.UnknownUID, Unattributed: true, Command: "(unknown)"}, usage.Usage{usage.Ended: 1, usage.Rounded: 1}},
	} {
		if !q.Mine || c.UID == who.UID {
			r.Add(&c.Key, &c.Usage)
		}
	}
	out := client.Report{Time: day.Add(25 * time.Hour), Since: day.Add(22 * time.Hour), Until: day.Add(25 * time.Hour), By: q.By}
	api.FillReport(&out, r, names)
	return out, nil
}

// Explain knows process 10, of two groups, 11, of none, and 12, of who knows.
func (f *fake) Explain(_ context.Context, _ api.Caller, pid int) (client.Explanation, error) {
	e := client.Explanation{PID: pid, Command: "cc1", Started: day.Add(5 * time.Hour), Groups: []client.Membership{}}
	root := uint32(0)
	chain := []client.Ancestor{{PID: 10, Command: "cc1", Started: e.Started}, {PID: 9, Command: "make\x1b[2J", Started: day.Add(4 * time.Hour), Ended: day.Add(6 * time.Hour)}}
	switch pid {
	case 10:
		e.Groups = append(e.Groups, client.Membership{
			Group: "ci", Origin: &client.Origin{PID: 8, Command: "sh", Time: day.Add(2 * time.Hour), UID: &root},
			Chain: append(chain[:2:2], client.Ancestor{PID: 8, Command: "sh", Started: day.Add(time.Hour), Left: true}),
		}, client.Membership{
			Group: "web", Inferred: true, Chain: chain,
			Candidates: []client.Origin{{PID: 7, Command: "init", Time: day.Add(3 * time.Hour), Rule: 12}},
		})
	case 11:
	case 12:
		e.Unattributed = true
	default:
		return client.Explanation{}, api.NotFound("no process %d is running", pid)
	}
	return e, nil
}

// TryRules knows process 10, of which each rule says something else, and 11,
// which there are no rules for.
func (f *fake) TryRules(_ context.Context, _ api.Caller, pid int) (client.RulesTrial, error) {
	t := client.RulesTrial{PID: pid, Command: "cc1", Started: day.Add(5 * time.Hour), Groups: []string{}, Joins: []string{}, Match: "all", Rules: []client.RuleVerdict{}}
	none := []client.RuleCondition{}
	switch pid {
	case 10:
		t.Groups, t.Joins = []string{"ci", "web"}, []string{"user/root"}
		t.Rules = []client.RuleVerdict{
			{Line: 4, Rule: "ci", Group: "ci", Outcome: "member", Conditions: none},
			{Line: 5, Rule: "user/{{.User}}", Group: "user/root", Outcome: "joins", Conditions: none},
			{Line: 6, Rule: "old", Group: "old", Outcome: "closed", Conditions: none},
			{Line: 7, Rule: "{{.Unit}}", Outcome: "unnamed", Conditions: none},
			{Line: 8, Rule: "jobs", Outcome: "mismatch", Conditions: []client.RuleCondition{
				{Name: "command", Want: []string{"make", "ninja*"}, Have: []string{"cc1\x1b[2J"}},
				{Name: "user", Want: []string{"root"}, Have: []string{"root", "0"}, Fulfilled: true},
				{Name: "unix-group", Want: []string{"users"}, Have: []string{"root", "0"}},
				{Name: "parent", Want: []string{"build"}, Have: []string{"ci", "web"}},
				{Name: "executable", Want: []string{"/opt/*"}, Have: []string{""}},
				{Name: "env CI", Want: []string{"true"}, Have: []string{}},
			}},
			{Line: 9, Rule: "rest", Outcome: "skipped", Conditions: none},
		}
	case 11:
	default:
		return t, api.NotFound("no process %d is running", pid)
	}
	return t, nil
}

func (f *fake) Status(context.Context, api.Caller) (client.Status, error) {
	return api.StatusFromSnapshot(&f.snapshot, "1.2.3"), nil
}

// Backup gives the file the script made, or is cut off when there is none.
func (f *fake) Backup(context.Context, api.Caller) (*os.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("backup")
	if file, err := os.Open(f.database); err == nil {
		return file, nil
	}
	return os.Open("/sys/kernel/uevent_seqnum") // shorter than its size says
}
