// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"elsa/pkg/clock"
	"elsa/pkg/proc"
)

func parse(text string) (*Set, error) {
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		return nil, err
	}
	return Parse(n.Content[0])
}

type process struct {
	command, user, exe, cgroup, args string
	uid                              uint32
	groups                           []string
	env                              map[string]string
}

func (p process) Command() string              { return p.command }
func (p process) UID() uint32                  { return p.uid }
func (p process) GID() uint32                  { return 100 }
func (p process) User() string                 { return p.user }
func (p process) UnixGroup() string            { return "users" }
func (p process) IsUser(name string) bool      { return name == p.user }
func (p process) IsUnixGroup(name string) bool { return name == "users" }
func (p process) Executable() string           { return p.exe }
func (p process) Cgroup() string               { return p.cgroup }
func (p process) Args() string                 { return p.args }
func (p process) Groups() []string             { return p.groups }
func (p process) Unseen() bool                 { return false }
func (p process) Late() bool                   { return false }
func (p process) Pending() bool                { return false }
func (p process) Env(name string) []string {
	if v, ok := p.env[name]; ok {
		return []string{v}
	}
	return nil
}

const list = `
match: %s
list:
  - {group: build, command: [make, "ninja*"]}
  - {group: "user/{{.User}}", user: [alice, "1001"]}
  - {group: "unit/{{.Unit}}", cgroup: "/system.slice/*"}
  - {group: jobs, env: {CI: "true", JOB: "*"}}
  - {group: deep, parent: "user/*", executable: "/opt/*/bin/?"}
  - {group: long, command: "elaborate-program*"}
  - {group: a, command: "python*", args: "*a.py*"}
  - {group: everyone, unix-group: users, command: "*"}
`

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		name string
		p    process
		all  []string
	}{
		{"command", process{command: "make"}, []string{"build", "everyone"}},
		{"glob", process{command: "ninja-build"}, []string{"build", "everyone"}},
		{"no partial match", process{command: "cmake"}, []string{"everyone"}},
		{"user by name", process{user: "alice"}, []string{"user/alice", "everyone"}},
		{"user by number", process{user: "Bob Ü", uid: 1001}, []string{"user/Bob__", "everyone"}},
		{"unit", process{cgroup: "/system.slice/ssh.service/x"}, []string{"unit/ssh.service", "everyone"}},
		{"environment", process{env: map[string]string{"CI": "true", "JOB": "7"}}, []string{"jobs", "everyone"}},
		{"environment, other value", process{env: map[string]string{"CI": "no", "JOB": "7"}}, []string{"everyone"}},
		{"parent and path", process{groups: []string{"x", "user/a"}, exe: "/opt/a/b/bin/c"}, []string{"deep", "everyone"}},
		{"arguments", process{command: "python3", args: "-O a.py x"}, []string{"a", "everyone"}},
		{"other arguments", process{command: "python3", args: "b.py"}, []string{"everyone"}},
		{"a cut name", process{command: "elaborate-progr", exe: "/bin/elaborate-program-2"}, []string{"long", "everyone"}},
		{"a cut name of another file", process{command: "elaborate-progr", exe: "/bin/sh"}, []string{"everyone"}},
		{"another cut name", process{command: "elaborate-progr", exe: "/bin/elaborate-progress"}, []string{"everyone"}},
		{"parent but no path", process{groups: []string{"user/a"}, exe: "/opt/bin"}, []string{"everyone"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, mode := range []Mode{All, First} {
				s, err := parse(strings.Replace(list, "%s", string(mode), 1))
				if err != nil {
					t.Fatal(err)
				}
				want := tt.all
				if mode == First {
					want = want[:1]
				}
				var got []string
				matches, unseen := s.Match(tt.p)
				if unseen != nil {
					t.Errorf("%v was not seen", unseen)
				}
				for _, m := range matches {
					got = append(got, m.Group)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("match: %s (-want +got):\n%s", mode, diff)
				}
			}
		})
	}
}

// What a trial says agrees with what Match does, and names each condition that
// is not fulfilled.
func TestTry(t *testing.T) {
	p := process{command: "make", user: "alice", uid: 1001, groups: []string{"build"}, env: map[string]string{"CI": "no"}}
	for mode, want := range map[Mode][]Outcome{
		All:   {Member, Closed, Mismatch, Mismatch, Mismatch, Mismatch, Mismatch, Joins},
		First: {Member, Skipped, Skipped, Skipped, Skipped, Skipped, Skipped, Skipped},
	} {
		s, err := parse(strings.Replace(list, "%s", string(mode), 1))
		if err != nil {
			t.Fatal(err)
		}
		var got []Outcome
		verdicts := s.Try(p, func(g string) bool { return g == "user/alice" })
		matched := map[string]bool{}
		for _, v := range verdicts {
			got = append(got, v.Outcome)
			if v.Group != "" {
				matched[v.Group] = true
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("match: %s (-want +got):\n%s", mode, diff)
		}
		matches, _ := s.Match(p)
		for _, m := range matches {
			if !matched[m.Group] {
				t.Errorf("match: %s: a trial does not name %s", mode, m.Group)
			}
			delete(matched, m.Group)
		}
		if len(matched) > 0 {
			t.Errorf("match: %s: a trial names %v, Match does not", mode, matched)
		}
		jobs := []Condition{{"env CI", []string{"true"}, []string{"no"}, false}, {"env JOB", []string{"*"}, nil, false}}
		if diff := cmp.Diff(jobs, verdicts[3].Conditions); diff != "" {
			t.Errorf("conditions (-want +got):\n%s", diff)
		}
	}
}

// ended are the facts of a process that is gone.
type ended struct {
	*Ended
	groups []string
}

func (e ended) Groups() []string { return e.groups }

// A rule that asks what cannot be told any more matches nothing, and says so; with
// match: all the others do. One that fails by what is known does not ask.
func TestMatchUnseen(t *testing.T) {
	for _, tt := range []struct {
		name, list string
		mode       Mode
		want       []string
		unseen     string
	}{
		{"all", "[{group: a, env: {CI: z}, command: make}, {group: b, command: make}, {group: c, command: make, executable: '*'}]", All, []string{"b"}, "a"},
		{"the first", "[{group: a, command: make}, {group: b, executable: '*'}]", First, []string{"a"}, ""},
		{"none after what is not known", "[{group: a, executable: '/x'}, {group: b, command: make}]", First, nil, "a"},
		{"what is known decides", "[{group: a, executable: '*', command: cc}, {group: b, command: make}]", First, []string{"b"}, ""},
		{"arguments", "[{group: a, command: make, args: x}, {group: b, command: make}]", All, []string{"b"}, "a"},
		{"a long name is not asked for where the command is short", "[{group: a, command: a-name-of-a-program}, {group: b, command: make}]", First, []string{"b"}, ""},
		{"a name that is not known", "[{group: '{{.Exe}}', command: make}, {group: b, command: make}]", All, []string{"b"}, "{{.Exe}}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parse("match: " + string(tt.mode) + "\nlist: " + tt.list)
			if err != nil {
				t.Fatal(err)
			}
			p := proc.Process{Comm: [16]byte{'m', 'a', 'k', 'e'}}
			for range 2 { // nothing is left of the first time
				var got []string
				found, unseen := s.Match(ended{Ended: Gone(p, Numbers{})})
				for _, m := range found {
					got = append(got, m.Group)
				}
				first := ""
				if unseen != nil {
					first = unseen.Group
				}
				if diff := cmp.Diff(tt.want, got); diff != "" || first != tt.unseen {
					t.Errorf("unseen: %q, want %q; groups (-want +got):\n%s", first, tt.unseen, diff)
				}
			}
		})
	}
}

// A live process is looked at once for each thing, and a look that came too late is
// told to every rule that asks.
func TestProcessUnseen(t *testing.T) {
	for _, gone := range []bool{false, true} {
		p, err := proc.Default.Process(int32(os.Getpid()))
		if err != nil {
			t.Fatal(err)
		}
		if gone {
			p.Start = clock.At(p.Start.Boot().Add(time.Minute), clock.Tick) // a later life of the pid
		}
		f := Look(proc.Default, p, Numbers{}, nil)
		f.In("/told")
		for range 2 {
			f.Command()
			if f.Cgroup(); f.Unseen() {
				t.Error("what was told is not seen")
			}
			f.Executable()
			if f.Unseen() != gone {
				t.Errorf("executable of a process that is gone (%v): unseen is %v", gone, !gone)
			}
			f.Env("PATH")
			if f.Unseen() != gone {
				t.Errorf("environment of a process that is gone (%v): unseen is %v", gone, !gone)
			}
		}
	}
}

// Matching costs no memory: it is done at every exec.
func TestMatchAllocates(t *testing.T) {
	s, err := parse("list: [{group: a, command: x, user: y, env: {CI: z}}, {group: b, command: make, executable: /usr/bin/x}]")
	if err != nil {
		t.Fatal(err)
	}
	var f Facts = process{command: "make", exe: "/bin/make"}
	if n := testing.AllocsPerRun(100, func() { s.Match(f) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"unknown key", "match: first\nrules: []", `line 2: unknown key "rules"`},
		{"mode", "match: some", `line 1: bad match "some"`},
		{"no list", "list: make", "line 1: list is not a list"},
		{"no group", "list:\n  - command: make", "line 2: rule has no group"},
		{"no condition", "list:\n  - group: a", "line 2: rule for group a has no condition"},
		{"bad name", "list:\n  - command: x\n    group: a b", "line 3: bad group name"},
		{"unknown condition", "list:\n  - group: a\n    cmd: x", `line 3: unknown condition "cmd"`},
		{"twice", "list:\n  - group: a\n    group: b", `line 3: "group" is there twice`},
		{"template", "list:\n  - {command: x, group: '{{.Nobody}}'}", "line 2: bad group template"},
		{"template syntax", "list:\n  - {command: x, group: '{{.User'}", "line 2: bad group template"},
		{"empty list", "list:\n  - {group: a, command: []}", "line 2: the list is empty"},
		{"nested", "list:\n  - {group: a, command: [[x]]}", "line 2: need a text"},
		{"env", "list:\n  - {group: a, env: CI}", "line 2: need keys with values"},
		{"long command", "list:\n- group: a\n  command: [x, /usr/bin/a-long-command*]", `line 3: command "/usr/bin/a-long-command*" can never match: it is the name of a file`},
		{"cgroup", "list:\n- {group: a, cgroup: system.slice/*}", `line 2: cgroup "system.slice/*" can never match: it is a path that begins with /; use "/system.slice/*"`},
		{"executable", "list:\n- {group: a, executable: make}", `line 2: executable "make" can never match: it is a path that begins with /; use "*/make"`},
		{"long path", "list:\n- {group: a, executable: /" + strings.Repeat("x", 4096) + "}", `line 2: executable "/xxx`},
		{"user number", "list:\n- {group: a, user: '4294967295'}", `line 2: user "4294967295" can never match`},
		{"large user number", "list:\n- {group: a, user: '99999999999'}", `line 2: user "99999999999" can never match`},
		{"user", "list:\n- {group: a, user: 'a:b'}", `line 2: user "a:b" can never match`},
		{"unix group", "list:\n- {group: a, unix-group: 'a:b'}", `line 2: unix-group "a:b" can never match`},
		{"parent", "list:\n- {group: a, parent: 'b c*'}", `line 2: parent "b c*" can never match: no group has such a name`},
		{"variable", "list:\n- {group: a, env: {A=B: '*'}}", `line 2: env "A=B" can never match`},
		{"shadowed", "list:\n- {group: a, command: [cc, 'c*'], env: {CI: '*'}}\n- {group: b, command: cmake, env: {CI: 'true'}, user: x}", "line 3: the rule for group b can never match: the one in line 2 takes all that it would"},
		{"shadowed by all", "list:\n- {group: a, command: '*'}\n- {group: b, user: x}", "line 3: the rule for group b can never match"},
		{"shadowed by a template", "list:\n- {group: 'u/{{.User}}', user: '*'}\n- {group: b, user: x}", "line 3: the rule for group b can never match"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parse(tt.text)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, %v; want an error that begins with %q", s, err, tt.want)
			}
		})
	}
}

// A pattern without wildcards matches itself only; one with is compared with the
// plainest definition.
func FuzzPattern(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add("*", "")
	f.Add("**?", "ab")
	f.Fuzz(func(t *testing.T, p, s string) {
		if len(p) > 12 || len(s) > 16 {
			return // the definition takes exponential time
		}
		if got, want := pattern(p).match(s), defined(p, s); got != want {
			t.Errorf("%q matches %q: %v, want %v", p, s, got, want)
		}
	})
}

func defined(p, s string) bool {
	switch {
	case p == "":
		return s == ""
	case p[0] == '*':
		return defined(p[1:], s) || s != "" && defined(p, s[1:])
	case s == "":
		return false
	}
	return (p[0] == '?' || p[0] == s[0]) && defined(p[1:], s[1:])
}

// A pattern with ! leaves out.
func TestExclusion(t *testing.T) {
	s, err := parse(`
match: all
list:
  - {group: people, user: ["*", "!root", "!www-*"]}
  - {group: tools, command: ["c*", "!elaborate-program*", "!cc1"]}
  - {group: free, parent: ["*", "!ci/*"]}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		p    process
		want []string
	}{
		{process{user: "alice"}, []string{"people"}},
		{process{user: "root"}, nil},
		{process{user: "www-data"}, nil},
		{process{user: "root", command: "cc"}, []string{"tools"}},
		{process{user: "root", command: "cc1"}, nil},
		{process{user: "root", groups: []string{"a"}}, []string{"free"}},
		{process{user: "root", groups: []string{"a", "ci/1"}}, nil},
	} {
		var got []string
		found, _ := s.Match(tt.p)
		for _, m := range found {
			got = append(got, m.Group)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tt.p, diff)
		}
	}
	if _, err := parse(`list: [{group: a, user: "!root"}]`); err == nil || !strings.Contains(err.Error(), "only leaves out") {
		t.Errorf("a rule that only leaves out: %v", err)
	}
	// One that leaves something out takes not all, so what follows it can match.
	if _, err := parse(`list: [{group: a, user: ["*", "!root"]}, {group: b, user: root}]`); err != nil {
		t.Error(err)
	}
}

// A part of the control group's path is the one nearest to the root.
func TestCgroupPart(t *testing.T) {
	for _, tt := range []struct{ cgroup, glob, want string }{
		{"/system.slice/nginx.service/evil.service", "*.service", "nginx"},
		{"/system.slice/docker-0123456789abcdef.scope/init", "docker-*.scope", "0123456789abcdef"},
		{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod7_9.slice/x", "kubepods*-pod*.slice", "7_9"},
		{"/kubepods/burstable/pod7-9/0123", "pod*", "7-9"},
		{"/system.slice/n1_slurmstepd.scope/job_12/step_0", "job_*", "12"},
		{"/a/b", "job_*", ""},
		{"", "*", ""},
	} {
		if got := (names{process{cgroup: tt.cgroup}}).CgroupPart(tt.glob); got != tt.want {
			t.Errorf("%s of %s is %q, want %q", tt.glob, tt.cgroup, got, tt.want)
		}
	}
}
