// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"elsa/internal/history"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// fake is a service in memory. It keeps groups and who called.
type fake struct {
	mu     sync.Mutex
	groups map[string]*GroupDetail
	caller Caller
	names  []string // of the last Usage
	wait   bool
	query  ReportQuery // of the last Report
	backup string      // file that Backup opens
	// entered is closed when a call that waits for its caller began.
	entered chan struct{}
}

func newFake() *fake { return &fake{groups: map[string]*GroupDetail{}, entered: make(chan struct{})} }

var fakeTime = time.Date(2026, 3, 4, 5, 6, 7, 890, time.UTC)

func (f *fake) get(name string) (*GroupDetail, error) {
	if g, ok := f.groups[name]; ok {
		return g, nil
	}
	return nil, NoSuchGroup(name)
}

func (f *fake) CreateGroup(ctx context.Context, c Caller, r CreateGroupRequest) (Group, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.caller = c
	switch r.Name {
	case "panic":
		panic("told to")
	case "fault":
		return Group{}, errors.New("the inner secret")
	case "wait-for-hangup":
		close(f.entered)
		<-ctx.Done()
		return Group{}, ctx.Err()
	}
	if _, ok := f.groups[r.Name]; ok {
		return Group{}, Conflict("group %s exists", r.Name)
	}
	if r.Labels == nil {
		r.Labels = map[string]string{}
	}
	g := &GroupDetail{Group: Group{Name: r.Name, ID: uint32(len(f.groups) + 1), State: "open", Created: fakeTime, Owner: c.UID, Labels: r.Labels}}
	f.groups[r.Name] = g
	return g.Group, nil
}

func (f *fake) Groups(ctx context.Context, c Caller) ([]Group, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var gs []Group
	for _, g := range f.groups {
		gs = append(gs, g.Group)
	}
	slices.SortFunc(gs, func(a, b Group) int { return strings.Compare(a.Name, b.Name) })
	return gs, nil
}

func (f *fake) Group(ctx context.Context, c Caller, name string) (GroupDetail, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g, err := f.get(name)
	if err != nil {
		return GroupDetail{}, err
	}
	return *g, nil
}

func (f *fake) Ungrouped(ctx context.Context, c Caller) (Ungrouped, error) {
	return Ungrouped{Members: []Member{{PID: 9, PPID: 1, Command: "x", Started: fakeTime, Groups: []string{}}}, Omitted: 3}, nil
}

func (f *fake) AddMembers(ctx context.Context, c Caller, name string, r AddRequest) (AddResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g, err := f.get(name)
	if err != nil {
		return AddResult{}, err
	}
	for _, pid := range r.PIDs {
		g.Members = append(g.Members, Member{PID: pid, PPID: 1, Command: "x", Started: fakeTime, CPUSeconds: 0.5, Groups: []string{name}})
	}
	return AddResult{Added: r.PIDs}, nil
}

func (f *fake) Join(ctx context.Context, c Caller, r JoinRequest) (JoinResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return JoinResult{Group: cmp.Or(r.Group, "run-1")}, nil
}

func (f *fake) RemoveMembers(ctx context.Context, c Caller, name string, r RemoveRequest) (RemoveResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g, err := f.get(name)
	if err != nil {
		return RemoveResult{}, err
	}
	var gone []int
	g.Members = slices.DeleteFunc(g.Members, func(m Member) bool {
		if slices.Contains(r.PIDs, m.PID) {
			gone = append(gone, m.PID)
			return true
		}
		return false
	})
	return RemoveResult{Removed: gone}, nil
}

func (f *fake) CloseGroup(ctx context.Context, c Caller, name string) (Group, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g, err := f.get(name)
	if err != nil {
		return Group{}, err
	}
	g.State, g.Closed = "closed", fakeTime.Add(time.Hour)
	return g.Group, nil
}

func (f *fake) ReopenGroup(ctx context.Context, c Caller, name string) (Group, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g, err := f.get(name)
	if err != nil {
		return Group{}, err
	}
	g.State, g.Closed = "open", time.Time{}
	return g.Group, nil
}

func (f *fake) RenameGroup(ctx context.Context, c Caller, name string, r RenameRequest) (Group, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g, err := f.get(name)
	if err != nil {
		return Group{}, err
	}
	if _, ok := f.groups[r.Name]; ok {
		return Group{}, Conflict("group %s exists", r.Name)
	}
	delete(f.groups, name)
	g.Name, f.groups[r.Name] = r.Name, g
	return g.Group, nil
}

func (f *fake) MergeGroup(ctx context.Context, c Caller, name string, r MergeRequest) (Group, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g, err := f.get(name)
	if err != nil {
		return Group{}, err
	}
	if _, err := f.get(r.From); err != nil {
		return Group{}, err
	}
	delete(f.groups, r.From)
	return g.Group, nil
}

func (f *fake) LabelGroup(ctx context.Context, c Caller, name string, r LabelRequest) (Group, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g, err := f.get(name)
	if err != nil {
		return Group{}, err
	}
	labels, err := Relabel(g.Labels, r)
	if err != nil {
		return Group{}, err
	}
	g.Labels = labels
	return g.Group, nil
}

func (f *fake) FillState(context.Context, Caller, FillQuery) (FillState, error) {
	return FillState{Version: 7, Next: 9, Columns: CellColumns(), Groups: []FillGroup{{
		ID: 1, Name: "a", Named: []RowName{{Name: "a", First: 2, Before: 3}}, Taken: []FillRows{{Source: "s", Rows: []byte{1, 2}}},
	}}}, nil
}

func (f *fake) FillGroup(_ context.Context, _ Caller, name string, r FillRequest) (FillResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.get(name)
	return FillResult{Version: r.Version + 1, Rows: uint64(len(r.Cells))}, err
}

func (f *fake) DeleteGroup(ctx context.Context, c Caller, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.get(name)
	delete(f.groups, name)
	return err
}

func (f *fake) Usage(ctx context.Context, c Caller, q UsageQuery) (UsageReport, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.names, f.wait = q.Groups, q.Wait
	s := snapshot()
	if q.Mine {
		return FromSnapshot(&s, q.Groups, c.Has)
	}
	return FromSnapshot(&s, q.Groups, nil)
}

func (f *fake) Report(ctx context.Context, c Caller, q ReportQuery) (Report, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.query = q
	sets := groups.NewSets()
	names := []string{"a"}
	r := history.NewReport(history.By(q.By), func(g uint32) []int {
		if g == 1 {
			return []int{0}
		}
		return nil
	}, true)
	r.Add(&history.Key{Hour: 490000, UID: 7, Groups: sets.Groups(sets.Only(1)), Command: "x\xff"}, &usage.Usage{usage.Ended: 2, usage.User: uint64(time.Second), usage.Exact: 2})
	out := Report{Time: fakeTime, Since: fakeTime, Until: fakeTime, By: q.By}
	FillReport(&out, r, names)
	return out, nil
}

func (f *fake) Cells(_ context.Context, c Caller, q CellsQuery) (Cells, error) {
	if err := c.MayReadCells(); err != nil {
		return Cells{}, err
	}
	u := usage.Usage{usage.Ended: 2, usage.User: 123456789}
	return Cells{
		Time: fakeTime, Mark: "run-2 after " + q.After, Source: "s", Host: "h", Since: q.From, Columns: CellColumns(),
		Groups: map[string]string{"1": "a"}, Users: map[string]string{},
		Hours: []CellsHour{{Hour: fakeTime.Truncate(time.Hour), Cells: []Cell{{Groups: []uint32{1}, UID: 7, Command: "x", Figures: Figures(&u)}}}},
	}, nil
}

func (f *fake) TryRules(_ context.Context, _ Caller, pid int) (RulesTrial, error) {
	return RulesTrial{PID: pid, Command: "x", Groups: []string{}, Joins: []string{"g"}, Match: "all", Rules: []RuleVerdict{}}, nil
}

func (f *fake) Explain(ctx context.Context, c Caller, pid int) (Explanation, error) {
	if pid == 404 {
		return Explanation{}, NotFound("no process %d is running", pid)
	}
	return Explanation{PID: pid, Command: "x", Started: fakeTime, Groups: []Membership{}}, nil
}

func (f *fake) Status(ctx context.Context, c Caller) (Status, error) {
	s := snapshot()
	return StatusFromSnapshot(&s, "1.2.3"), nil
}

func (f *fake) Backup(ctx context.Context, c Caller) (*os.File, error) {
	if err := c.MayBackup(); err != nil {
		return nil, err
	}
	if f.backup == "" {
		return nil, Unavailable("the disk is full")
	}
	return os.Open(f.backup)
}

// checked is a fake that fails the test when the server let something
// malformed through.
type checked struct {
	*fake
	t testing.TB
}

func (s checked) CreateGroup(ctx context.Context, c Caller, r CreateGroupRequest) (Group, error) {
	if r.Name == "panic" || r.Name == "fault" || r.Name == "wait-for-hangup" {
		return Group{}, Conflict("these are for other tests")
	}
	if err := checkCreate(&r); err != nil {
		s.t.Errorf("the service got %+v: %v", r, err)
	}
	return s.fake.CreateGroup(ctx, c, r)
}

func (s checked) AddMembers(ctx context.Context, c Caller, name string, r AddRequest) (AddResult, error) {
	if err := errors.Join(groups.CheckName(name), checkAdd(&r)); err != nil {
		s.t.Errorf("the service got %+v: %v", r, err)
	}
	return s.fake.AddMembers(ctx, c, name, r)
}

func (s checked) Join(ctx context.Context, c Caller, r JoinRequest) (JoinResult, error) {
	if err := checkJoin(&r); err != nil {
		s.t.Errorf("the service got %+v: %v", r, err)
	}
	return s.fake.Join(ctx, c, r)
}

func (s checked) Usage(ctx context.Context, c Caller, q UsageQuery) (UsageReport, error) {
	if err := checkSelect(q.Groups); err != nil {
		s.t.Error(err)
	}
	return s.fake.Usage(ctx, c, q)
}
