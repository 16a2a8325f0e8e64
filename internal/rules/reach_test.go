// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"strings"
	"testing"

	"elsa/pkg/groups"
)

// Rules that some process may match are no errors.
func TestReachable(t *testing.T) {
	for _, list := range []string{
		"{group: a, command: 'a-very-long-com*'}",
		"{group: a, command: '*-*-*-*-*-*-*-*-*-*'}",
		"{group: a, executable: '*/make'}",
		"{group: a, cgroup: '?system.slice'}",
		"{group: a, user: [nobody-yet, '4294967294']}",
		"{group: a, parent: 'x/*/?'}",
		"{group: a, command: make}, {group: b, command: 'ma*'}",
		"{group: a, command: 'm?ke'}, {group: b, command: 'm*ke'}",
		"{group: a, command: make, user: x}, {group: b, command: make}",
		"{group: a, env: {CI: '*'}}, {group: b, command: make}",
		"{group: a, env: {CI: '*'}}, {group: b, env: {JOB: '*'}}",
		"{group: a, parent: '*'}, {group: b, command: make}",
		"{group: '{{.Unit}}', command: '*'}, {group: b, command: make}", // it may make no name
		"{group: a, user: '1000'}, {group: b, user: alice}",
	} {
		if _, err := parse("list: [" + list + "]"); err != nil {
			t.Errorf("%s: %v", list, err)
		}
	}
	if _, err := parse("match: all\nlist: [{group: a, command: '*'}, {group: b, command: make}]"); err != nil {
		t.Errorf("match: all: %v", err)
	}
}

// A pattern covers another only if it matches all that the other does.
func FuzzCovers(f *testing.F) {
	f.Add("a*", "a?c", "abc")
	f.Add("*?", "*", "")
	f.Add("a?b", "a*b", "ab")
	f.Fuzz(func(t *testing.T, p, q, s string) {
		if len(p) > 12 || len(q) > 12 || len(s) > 16 {
			return
		}
		if pattern(p).covers(pattern(q)) && defined(q, s) && !defined(p, s) {
			t.Errorf("%q is said to cover %q, which alone matches %q", p, q, s)
		}
	})
}

// Names that are too long are told apart by a hash of the whole.
func TestLongNames(t *testing.T) {
	s, err := parse("list: [{group: 'job/{{.Env `JOB`}}', env: {JOB: '*'}}]")
	if err != nil {
		t.Fatal(err)
	}
	name := func(job string) string {
		found, _ := s.Match(process{env: map[string]string{"JOB": job}})
		return found[0].Group
	}
	long := strings.Repeat("x", 200)
	a, b := name(long+"a"), name(long+"b")
	if a == b || groups.CheckName(a) != nil || !strings.HasPrefix(a, "job/xxx") || a != name(long+"a") {
		t.Errorf("names are %s and %s", a, b)
	}
	if !s.Rules[0].makes(a) {
		t.Error("a name that was cut is not reserved")
	}
	if fits := strings.Repeat("y", groups.MaxName-4); name(fits) != "job/"+fits {
		t.Errorf("a name that fits is %s", name(fits))
	}
}

// directory is a name service in which some answers are not known yet.
type directory struct {
	Numbers
	pending bool
	asked   int
}

func (d *directory) User(uint32) (string, bool) {
	d.asked++
	return "alice", !d.pending
}

func (d *directory) IsUser(uid uint32, name string) (bool, bool) {
	return name == "alice" && uid == 1000, !d.pending
}

// A rule waits for a name that is being looked up; who is named by number, and what
// needs no name, does not.
func TestPendingNames(t *testing.T) {
	for _, tt := range []struct {
		list      string
		pending   bool // at first
		want      string
		forgoName bool // the name of the user is not asked for
	}{
		{"{group: a, user: alice}", true, "a", true},
		{"{group: a, user: ['1000', alice]}", false, "a", true},
		{"{group: a, user: '*'}", false, "a", true},
		{"{group: a, user: 'al*'}", true, "a", false},
		{"{group: 'u/{{.User}}', user: '*'}", true, "u/alice", false},
		{"{group: a, command: x, user: alice}, {group: b, command: '*'}", false, "b", true},
	} {
		s, err := parse("list: [" + tt.list + "]")
		if err != nil {
			t.Fatal(err)
		}
		d := &directory{pending: true}
		for _, pending := range []bool{tt.pending, false} {
			e := &Ended{named: named{names: d, uid: 1000, gid: 1000}}
			found, unseen := s.Match(ended{Ended: e})
			if e.Pending() != pending || (unseen != nil) != pending || !pending && (len(found) != 1 || found[0].Group != tt.want) {
				t.Errorf("%s: groups %v, pending %v; want %s, %v", tt.list, found, e.Pending(), tt.want, pending)
			}
			d.pending = false
		}
		if tt.forgoName != (d.asked == 0) {
			t.Errorf("%s: the user's name was asked for %d times", tt.list, d.asked)
		}
	}
}
