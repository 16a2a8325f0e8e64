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
	"elsa/pkg/api"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// fake is a service in memory with two groups of known bills, web and ci. Each
// process that is added to a group costs it perProcess, which is on the bill
// once somebody waits for it.
type fake struct {
	mu       sync.Mutex
	snapshot usage.Snapshot
	members  map[string][]api.Member
	// journal is what was asked, a line each.
	journal []string
	// pending counts the processes added since somebody waited, by group.
	pending map[string]int
	// database is the file that a backup is a copy of.
	database string
}

var perProcess = usage.Usage{
	Ended: 1, User: 1500 * time.Millisecond, System: 250 * time.Millisecond, Elapsed: 2 * time.Second,
	ReadBytes: 1 << 20, WriteBytes: 4096, MaxRSS: 3 << 20, Exact: 1,
}

var day = time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)

func newFake() *fake {
	web := usage.Usage{
		Started: 501, Ended: 500, Live: 1, User: 1234567891, System: 2 * time.Second, Elapsed: 90 * time.Minute,
		MinorFaults: 11, MajorFaults: 12, ReadBytes: 13 << 20, WriteBytes: 1536, ReadChars: 15, WriteChars: 16,
		MaxRSS: 17 << 20, VoluntarySwitches: 18, InvoluntarySwitches: 19, ExitNonzero: 20, ExitSignal: 21,
		Exact: 400, Sampled: 70, Rounded: 30, Inferred: 5,
	}
	ci := usage.Usage{Started: 2, Ended: 2, User: 26 * time.Hour, System: 100 * time.Second, MaxRSS: 5 << 30, Exact: 2}
	f := &fake{members: map[string][]api.Member{}, pending: map[string]int{}}
	f.snapshot = usage.Snapshot{
		Time: day.Add(10*time.Hour + 123456789),
		Groups: []usage.GroupTotal{
			{Group: groups.Group{ID: 1, Name: "ci", Created: day, Closed: day.Add(9 * time.Hour)}, Usage: ci},
			{Group: groups.Group{ID: 2, Name: "web", Owner: 4242, Created: day.Add(time.Hour), Labels: map[string]string{"team": "shop", "a": "b c"}}, Usage: web},
		},
		Ungrouped: usage.Usage{Started: 7, Ended: 7, User: 7 * time.Second}, Unattributed: usage.Usage{Ended: 1, User: time.Millisecond},
		Service: usage.Service{
			Created: day.Add(-24 * time.Hour), Started: day.Add(8 * time.Hour), EventSource: "proc", Accounting: "own", Taskstats: "on", Exact: "off: no BTF",
			Forks: 31, Execs: 32, Exits: 33, OtherEvents: 34, EventsLost: 35, EventsRejected: 36, Resyncs: 1,
			RecordsBSD: 41, RecordsTaskstats: 42, RecordsExact: 43, TaskstatsLost: 44, ExactLost: 45, LedgerSkipped: 64, LedgerLost: 65, LedgerGaps: 66, MissingLedger: 48,
			Joined: map[string]uint64{"taskstats": 47, "bsd": 3}, Refused: map[string]uint64{"rule_owner": 2, "rule_limit": 7, "memory": 0}, BacklogBytes: 128, Processes: 52, Members: 1, StoreBytes: 32768, ConservationRatio: 0.99995,
		},
	}
	f.snapshot.AnyGroup.Add(&web)
	f.snapshot.AnyGroup.Add(&ci)
	f.snapshot.Total.Add(&f.snapshot.AnyGroup)
	f.snapshot.Total.Add(&f.snapshot.Ungrouped)
	f.snapshot.Total.Add(&f.snapshot.Unattributed)
	f.members["web"] = []api.Member{
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

func (f *fake) CreateGroup(_ context.Context, c api.Caller, r api.CreateGroupRequest) (api.Group, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("create %s %v", r.Name, r.Labels)
	if _, err := f.find(r.Name); err == nil {
		return api.Group{}, api.Conflict("group %s exists", r.Name)
	}
	id := uint32(len(f.snapshot.Groups) + 1)
	g := groups.Group{ID: id, Name: r.Name, Owner: c.UID, Labels: r.Labels, Temporary: r.Temporary, Created: day.Add(time.Duration(id) * time.Minute)}
	f.snapshot.Groups = append(f.snapshot.Groups, usage.GroupTotal{Group: g})
	return api.FromGroup(&g), nil
}

func (f *fake) Groups(context.Context, api.Caller) (gs []api.Group, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.snapshot.Groups {
		gs = append(gs, api.FromGroup(&f.snapshot.Groups[i].Group))
	}
	return gs, nil
}

func (f *fake) Group(_ context.Context, _ api.Caller, name string) (api.GroupDetail, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g, err := f.find(name)
	if err != nil {
		return api.GroupDetail{}, err
	}
	return api.GroupDetail{Group: api.FromGroup(&g.Group), Members: f.members[name]}, nil
}

func (f *fake) AddMembers(_ context.Context, _ api.Caller, name string, r api.AddRequest) (api.AddResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g, err := f.find(name)
	if err != nil {
		return api.AddResult{}, err
	}
	if !g.Group.Open() {
		return api.AddResult{}, api.Conflict("group %s is closed", name)
	}
	var added []int
	for _, pid := range r.PIDs {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			return api.AddResult{}, api.NotFound("no process has pid %d", pid)
		}
		argv0, _, _ := strings.Cut(string(line), "\x00")
		// The child of run marks its socket once it has started, which is when
		// it may be added: its start must not be charged.
		if argv0 == execName {
			info, _ := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, childSocket))
			// O_CLOEXEC and O_RDWR
			if _, flags, _ := strings.Cut(string(info), "flags:"); strings.HasPrefix(strings.TrimSpace(flags), "02000002") {
				argv0 += " started"
			}
		}
		f.note("add %s %d as %s tree=%v whole_life=%v move=%v", name, pid, argv0, r.Tree, r.WholeLife, r.Move)
		if !slices.ContainsFunc(f.members[name], func(m api.Member) bool { return m.PID == pid }) {
			f.members[name] = append(f.members[name], api.Member{PID: pid})
			added = append(added, pid)
			g.Usage.Started++
			f.pending[name]++
		}
	}
	return api.AddResult{Added: added}, nil
}

func (f *fake) RemoveMembers(_ context.Context, _ api.Caller, name string, r api.RemoveRequest) (api.RemoveResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.find(name); err != nil {
		return api.RemoveResult{}, err
	}
	f.note("remove %s %v tree=%v", name, r.PIDs, r.Tree)
	var removed []int
	f.members[name] = slices.DeleteFunc(f.members[name], func(m api.Member) bool {
		gone := slices.Contains(r.PIDs, m.PID)
		if gone {
			removed = append(removed, m.PID)
		}
		return gone
	})
	return api.RemoveResult{Removed: removed}, nil
}

func (f *fake) CloseGroup(_ context.Context, _ api.Caller, name string) (api.Group, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("close %s", name)
	g, err := f.find(name)
	if err != nil {
		return api.Group{}, err
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

func (f *fake) Usage(_ context.Context, _ api.Caller, names []string, wait bool) (api.UsageReport, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("usage %v wait=%v", names, wait)
	if wait {
		for name, n := range f.pending {
			if g, err := f.find(name); err == nil {
				for range n {
					g.Usage.Add(&perProcess)
				}
			}
		}
		clear(f.pending)
	}
	return api.FromSnapshot(&f.snapshot, names)
}

// Report is of three hours: two of the evening, one of the next day.
func (f *fake) Report(_ context.Context, _ api.Caller, q api.ReportQuery) (api.Report, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("report %v by %s", q.Groups, q.By)
	names := map[uint32]string{}
	for i := range f.snapshot.Groups {
		g := &f.snapshot.Groups[i].Group
		if len(q.Groups) == 0 || slices.Contains(q.Groups, g.Name) {
			names[g.ID] = g.Name
		}
	}
	for _, name := range q.Groups {
		if _, err := f.find(name); err != nil {
			return api.Report{}, err
		}
	}
	r := history.NewReport(history.By(q.By), func(g uint32) bool { return names[g] != "" }, len(q.Groups) == 0)
	hour := usage.HourOf(day.Unix()) + 22
	for _, c := range []struct {
		history.Key
		usage.Usage
	}{
		{history.Key{Hour: hour, UID: 0, Groups: []uint32{1}, Command: "cc1"}, usage.Usage{Ended: 3, User: 5 * time.Second, System: time.Second, Elapsed: time.Minute, MinorFaults: 1000, MajorFaults: 2, MaxRSS: 9 << 20, Exact: 3}},
		{history.Key{Hour: hour + 1, UID: 0, Groups: []uint32{1, 2}, Command: "ld"}, usage.Usage{Ended: 1, User: 1500 * time.Millisecond, Elapsed: 2 * time.Second, MinorFaults: 50, ReadBytes: 4096, MaxRSS: 20 << 20, Sampled: 1}},
		{history.Key{Hour: hour + 2, UID: 4242, Command: "bash\x1b[2J"}, usage.Usage{Ended: 7, System: 4 * time.Millisecond, Elapsed: 26 * time.Hour, Exact: 7}},
		{history.Key{Hour: hour + 2, UID: usage.UnknownUID, Unattributed: true, Command: "(unknown)"}, usage.Usage{Ended: 1, Rounded: 1}},
	} {
		r.Add(&c.Key, &c.Usage)
	}
	out := api.Report{Time: day.Add(25 * time.Hour), Since: day.Add(22 * time.Hour), Until: day.Add(25 * time.Hour), By: q.By}
	out.Fill(r, names)
	return out, nil
}

// Explain knows process 10, of two groups, 11, of none, and 12, of who knows.
func (f *fake) Explain(_ context.Context, _ api.Caller, pid int) (api.Explanation, error) {
	e := api.Explanation{PID: pid, Command: "cc1", Started: day.Add(5 * time.Hour), Groups: []api.Membership{}}
	root := uint32(0)
	chain := []api.Ancestor{{PID: 10, Command: "cc1", Started: e.Started}, {PID: 9, Command: "make\x1b[2J", Started: day.Add(4 * time.Hour), Ended: day.Add(6 * time.Hour)}}
	switch pid {
	case 10:
		e.Groups = append(e.Groups, api.Membership{
			Group: "ci", Origin: &api.Origin{PID: 8, Command: "sh", Time: day.Add(2 * time.Hour), UID: &root},
			Chain: append(chain[:2:2], api.Ancestor{PID: 8, Command: "sh", Started: day.Add(time.Hour), Left: true}),
		}, api.Membership{
			Group: "web", Inferred: true, Chain: chain,
			Candidates: []api.Origin{{PID: 7, Command: "init", Time: day.Add(3 * time.Hour), Rule: 12}},
		})
	case 11:
	case 12:
		e.Unattributed = true
	default:
		return api.Explanation{}, api.NotFound("no process %d is running", pid)
	}
	return e, nil
}

// TryRules knows process 10, of which each rule says something else, and 11,
// which there are no rules for.
func (f *fake) TryRules(_ context.Context, _ api.Caller, pid int) (api.RulesTrial, error) {
	t := api.RulesTrial{PID: pid, Command: "cc1", Started: day.Add(5 * time.Hour), Groups: []string{}, Joins: []string{}, Match: "all", Rules: []api.RuleVerdict{}}
	none := []api.RuleCondition{}
	switch pid {
	case 10:
		t.Groups, t.Joins = []string{"ci", "web"}, []string{"user/root"}
		t.Rules = []api.RuleVerdict{
			{Line: 4, Rule: "ci", Group: "ci", Outcome: "member", Conditions: none},
			{Line: 5, Rule: "user/{{.User}}", Group: "user/root", Outcome: "joins", Conditions: none},
			{Line: 6, Rule: "old", Group: "old", Outcome: "closed", Conditions: none},
			{Line: 7, Rule: "{{.Unit}}", Outcome: "unnamed", Conditions: none},
			{Line: 8, Rule: "jobs", Outcome: "mismatch", Conditions: []api.RuleCondition{
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

func (f *fake) Status(context.Context, api.Caller) (api.Status, error) {
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
