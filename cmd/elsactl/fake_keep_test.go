// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"elsa/pkg/api"
	"elsa/pkg/client"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

func (f *fake) ReopenGroup(_ context.Context, _ api.Caller, name string) (client.Group, error) {
	return f.keep("reopen "+name, name, func(g *groups.Group) error {
		g.Closed = time.Time{}
		return nil
	})
}

func (f *fake) RenameGroup(_ context.Context, _ api.Caller, name string, r client.RenameRequest) (client.Group, error) {
	return f.keep("rename "+name+" "+r.Name, name, func(g *groups.Group) error {
		if _, err := f.find(r.Name); err == nil {
			return api.Conflict("rename group %s to %s: it exists already", name, r.Name)
		}
		g.Name = r.Name
		return nil
	})
}

func (f *fake) MergeGroup(_ context.Context, _ api.Caller, name string, r client.MergeRequest) (client.Group, error) {
	return f.keep("merge "+r.From+" into "+name, name, func(g *groups.Group) error {
		if _, err := f.find(r.From); err != nil {
			return err
		}
		f.snapshot.Groups = slices.DeleteFunc(f.snapshot.Groups, func(t usage.GroupTotal) bool { return t.Group.Name == r.From })
		return nil
	})
}

func (f *fake) LabelGroup(_ context.Context, _ api.Caller, name string, r client.LabelRequest) (client.Group, error) {
	return f.keep(fmt.Sprintf("label %s %v %v", name, r.Set, r.Remove), name, func(g *groups.Group) (err error) {
		g.Labels, err = api.Relabel(g.Labels, r)
		return err
	})
}

func (f *fake) FillState(context.Context, api.Caller, client.FillQuery) (out client.FillState, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("fill state")
	out = client.FillState{Version: f.fills, Next: 100, Columns: api.CellColumns()}
	for i := range f.snapshot.Groups {
		g := &f.snapshot.Groups[i].Group
		out.Groups = append(out.Groups, client.FillGroup{ID: g.ID, Name: g.Name, Owner: g.Owner, Named: []client.RowName{{Name: g.Name, First: 1}}})
	}
	return out, nil
}

func (f *fake) FillGroup(_ context.Context, _ api.Caller, name string, r client.FillRequest) (out client.FillResult, err error) {
	owner := int64(-1)
	if r.Owner != nil {
		owner = int64(*r.Owner)
	}
	_, err = f.keep(fmt.Sprintf("fill %s cells %d owner %d", name, len(r.Cells), owner), name, func(g *groups.Group) error {
		if !g.Open() {
			return api.Conflict("group %s is closed: it takes no new members", name)
		}
		f.fills++
		if r.Version != f.fills-1 || f.stale > 0 {
			f.stale--
			return api.Conflict("groups were filled or merged meanwhile")
		}
		out = client.FillResult{Version: f.fills, Rows: 1}
		return nil
	})
	return out, err
}

func (f *fake) keep(asked, name string, change func(*groups.Group) error) (client.Group, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("%s", asked)
	g, err := f.find(name)
	if err != nil {
		return client.Group{}, err
	}
	if err := change(&g.Group); err != nil {
		return client.Group{}, err
	}
	return api.FromGroup(&g.Group), nil
}
