// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"elsa/pkg/client"
	"elsa/pkg/proc"
)

// pick says which running processes are meant, by what they are. Processes of all that
// is given are meant, and with nothing given none.
type pick struct {
	unit, cgroup, user string
	// root is where proc(5) is mounted.
	root proc.FS
	// names knows users.
	names func(uid uint32) string
}

func (p *pick) given() bool { return p.unit != "" || p.cgroup != "" || p.user != "" }

func (p *pick) String() string {
	var list []string
	for _, s := range []struct{ what, value string }{{"unit", p.unit}, {"control group", p.cgroup}, {"user", p.user}} {
		if s.value != "" {
			list = append(list, s.what+" "+s.value)
		}
	}
	return strings.Join(list, ", ")
}

// find looks at all processes. The kernel's own threads and elsactl itself are not meant.
func (p *pick) find() (pids []int, err error) {
	all, err := p.root.Snapshot(nil)
	if err != nil {
		return nil, err
	}
	for i := range all {
		pid := all[i].PID
		if pid == 2 || all[i].PPID == 2 || int(pid) == os.Getpid() {
			continue
		}
		if p.meant(pid) {
			pids = append(pids, int(pid))
		}
	}
	slices.Sort(pids)
	return pids, nil
}

// meant looks at one process. One that is gone is not meant.
func (p *pick) meant(pid int32) bool {
	if p.user != "" {
		q, err := p.root.Process(pid)
		if err != nil || q.Dead() || p.user != strconv.FormatUint(uint64(q.UID), 10) && p.user != p.names(q.UID) {
			return false
		}
	}
	if p.unit == "" && p.cgroup == "" {
		return true
	}
	text, err := os.ReadFile(path.Join(string(p.root), fmt.Sprint(pid), "cgroup"))
	return err == nil && (p.unit == "" || inUnit(string(text), p.unit)) && (p.cgroup == "" || inCgroup(string(text), p.cgroup))
}

// inUnit reports whether a control group is that of a unit of systemd or is below it.
// A unit without a suffix is a service.
func inUnit(text, unit string) bool {
	if !strings.Contains(unit, ".") {
		unit += ".service"
	}
	for m := range proc.Memberships(text) {
		if slices.Contains(strings.Split(m.Path, "/"), unit) {
			return true
		}
	}
	return false
}

// inCgroup reports whether a control group is the named one or below it. Its name
// may begin where control groups are mounted.
func inCgroup(text, name string) bool {
	name = path.Clean("/" + strings.TrimPrefix(path.Clean(name), "/sys/fs/cgroup"))
	for m := range proc.Memberships(text) {
		if m.Path == name || strings.HasPrefix(m.Path, strings.TrimSuffix(name, "/")+"/") {
			return true
		}
	}
	return false
}

// Bounds of pick.add: how many processes a request names, and how often it is looked
// again.
const (
	pickBatch = 1000
	pickLooks = 10
)

// add puts all that are meant in a group, and looks again until there is nobody new:
// what was forked meanwhile by one that was not in yet. One that ends before it is
// added is passed over.
func (p *pick) add(ctx context.Context, c *client.Client, name string, r client.AddRequest) (added []int, err error) {
	known := map[int]bool{}
	for range pickLooks {
		pids, err := p.find()
		if err != nil {
			return added, err
		}
		pids = slices.DeleteFunc(pids, func(pid int) bool { return known[pid] })
		if len(pids) == 0 {
			break
		}
		for part := range slices.Chunk(pids, pickBatch) {
			got, err := p.try(ctx, c, name, r, part)
			if err != nil {
				return added, err
			}
			added = append(added, got...)
			for _, pid := range part {
				known[pid] = true
			}
		}
	}
	if len(known) == 0 {
		return nil, fmt.Errorf("no process of %s is running", p)
	}
	slices.Sort(added)
	return slices.Compact(added), nil
}

// try adds processes of which some may have ended: they are left out and it tries again.
func (p *pick) try(ctx context.Context, c *client.Client, name string, r client.AddRequest, pids []int) ([]int, error) {
	for {
		r.PIDs = pids
		a, err := c.AddMembers(ctx, name, r)
		if err == nil {
			return a.Added, nil
		}
		live := slices.DeleteFunc(slices.Clone(pids), func(pid int) bool { return !p.meant(int32(pid)) })
		if len(live) == len(pids) {
			return nil, err
		}
		if pids = live; len(pids) == 0 {
			return nil, nil
		}
	}
}
