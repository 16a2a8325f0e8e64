// SPDX-License-Identifier: Apache-2.0

package nss

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"elsa/internal/tally"
)

// service is a made-up name service.
type service struct {
	lines map[string][]entry
	down  bool
	asked []string
}

func (s *service) ask(_ context.Context, database string, keys []string) (found []entry, err error) {
	s.asked = append(s.asked, fmt.Sprint(database, " ", strings.Join(keys, " ")))
	if s.down {
		return nil, errors.New("down")
	}
	for _, k := range keys {
		for _, e := range s.lines[database] {
			if e.name == k || fmt.Sprint(e.id) == k || strings.HasPrefix(e.name, k+"@") {
				found = append(found, e)
			}
		}
	}
	return found, nil
}

func newTest(t *testing.T, s *service, passwd, group string) (*Names, *tally.Shared) {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(root+"/etc", 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"passwd": passwd, "group": group} {
		if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	counts := &tally.Shared{}
	return newNames(root, s.ask, counts), counts
}

func expect(t *testing.T, n *Names, uid uint32, name string, known bool) {
	t.Helper()
	if got, is := n.User(uid); got != name || is != known {
		t.Errorf("user %d is %q, known %v; want %q, %v", uid, got, is, name, known)
	}
}

// Who is in the file is known at once; others by number until they are looked up.
func TestUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{lines: map[string][]entry{"passwd": {{"alice", 5000}, {"bob@example.org", 5001}}}}
		n, counts := newTest(t, s, "root:x:0:0::/:\nroot2:x:0:0::/:\n+nis::::::\nbad:x:y:0::\n", "wheel:x:10:\n")
		expect(t, n, 0, "root", true)
		if is, known := n.IsUser(0, "root2"); !is || !known {
			t.Error("a second name of a user is none")
		}
		expect(t, n, 5000, "5000", false)
		expect(t, n, 5009, "5009", false)
		if !n.Look(t.Context()) {
			t.Error("nothing new")
		}
		expect(t, n, 5000, "alice", true)
		expect(t, n, 5009, "5009", true) // nobody
		if len(s.asked) != 1 || s.asked[0] != "passwd 5000 5009" {
			t.Errorf("asked %q", s.asked)
		}
		if n.Look(t.Context()) || len(s.asked) != 1 {
			t.Errorf("asked again: %q", s.asked)
		}
		if counts.Count(tally.NamesFound) != 1 || counts.Count(tally.NamesUnknown) != 1 {
			t.Errorf("%d found, %d unknown", counts.Count(tally.NamesFound), counts.Count(tally.NamesUnknown))
		}

		// A failure is forgotten after a while, and a name is asked for anew at times. Both
		// stand meanwhile.
		s.lines["passwd"] = []entry{{"carol", 5000}, {"late", 5009}}
		time.Sleep(absent + time.Second) // sleep: in a bubble
		expect(t, n, 5009, "5009", true)
		expect(t, n, 5000, "alice", true)
		n.Look(t.Context())
		expect(t, n, 5009, "late", true)
		expect(t, n, 5000, "alice", true)
		time.Sleep(fresh) // sleep: in a bubble
		n.User(5000)
		n.Look(t.Context())
		expect(t, n, 5000, "carol", true)

		// All at once by Forget, as on SIGHUP.
		s.lines["passwd"] = []entry{{"dave", 5000}}
		n.Forget()
		expect(t, n, 5000, "5000", false)
		n.Look(t.Context())
		expect(t, n, 5000, "dave", true)
	})
}

// Names in rules are known ahead, in whatever writing, and by the file as it is.
func TestWant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{lines: map[string][]entry{
			"passwd": {{"alice", 5000}, {"bob@example.org", 5001}}, "group": {{"staff", 600}, {"dev", 601}},
		}}
		n, _ := newTest(t, s, "root:x:0:0::/:\n", "")
		n.Want([]string{"alice", "bob", "root", "nobody-yet", "-x", "77"}, []string{"staff", "dev"})
		is := func(uid uint32, name string, want, wantKnown bool) {
			t.Helper()
			if got, known := n.IsUser(uid, name); got != want || known != wantKnown {
				t.Errorf("user %d is %s: %v, known %v; want %v, %v", uid, name, got, known, want, wantKnown)
			}
		}
		is(5000, "alice", false, false)
		n.Look(t.Context())
		is(5000, "alice", true, true)
		is(5001, "alice", false, true)
		is(5001, "bob", true, true)
		is(0, "root", true, true)
		is(0, "-x", false, true) // never asked for: getent would take it for an option
		if gid, ok := n.GroupID("dev"); !ok || gid != 601 {
			t.Errorf("group dev is %d, %v", gid, ok)
		}
		if slices.ContainsFunc(s.asked, func(a string) bool {
			return strings.Contains(a, "-x") || strings.Contains(a, "77") || strings.Contains(a, "root")
		}) {
			t.Errorf("asked %q", s.asked)
		}
		if users, groups := n.Unknown(); fmt.Sprint(users) != "[-x 77 nobody-yet]" || len(groups) > 0 {
			t.Errorf("unknown are %v and %v", users, groups)
		}

		// A file that was changed is read anew, and answers before the service.
		if err := os.WriteFile(n.root+"/etc/passwd", []byte("alice:x:1:1::/:\nnobody-yet:x:2:2::/:\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if !n.Look(t.Context()) {
			t.Error("the changed file is nothing new")
		}
		is(1, "alice", true, true)
		is(2, "nobody-yet", true, true)
		is(5000, "alice", false, true)
	})
}

// A service that does not answer is asked once for all that wait; what was known stays.
func TestDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{lines: map[string][]entry{"passwd": {{"alice", 5000}}}}
		n, counts := newTest(t, s, "", "")
		n.Want([]string{"alice"}, nil)
		n.User(5000)
		n.Look(t.Context())
		s.down, s.asked = true, nil
		time.Sleep(fresh + time.Second) // sleep: in a bubble
		for uid := range uint32(300) {
			n.User(5000 + uid)
		}
		n.Look(t.Context())
		if len(s.asked) != 1 {
			t.Errorf("asked %d times", len(s.asked))
		}
		expect(t, n, 5000, "alice", true)
		expect(t, n, 5001, "5001", true)
		if is, known := n.IsUser(5000, "alice"); !is || !known {
			t.Error("alice was forgotten")
		}
		if got := counts.Count(tally.NamesFailed); got != 301 {
			t.Errorf("%d failures, want 301", got)
		}
		s.down = false
		time.Sleep(absent + time.Second) // sleep: in a bubble
		n.User(5001)
		s.lines["passwd"] = append(s.lines["passwd"], entry{"bob", 5001})
		n.Look(t.Context())
		expect(t, n, 5001, "bob", true)
	})
}

// Run looks up what is asked for by itself, and says when there is news.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{lines: map[string][]entry{"passwd": {{"alice", 5000}}}}
		n, _ := newTest(t, s, "", "")
		ctx, cancel := context.WithCancel(t.Context())
		news := 0
		ended := make(chan error)
		go func() { ended <- n.Run(ctx, func() { news++ }) }()
		expect(t, n, 5000, "5000", false)
		synctest.Wait()
		expect(t, n, 5000, "alice", true)
		if news != 1 {
			t.Errorf("%d news", news)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// However many ids there are, few wait and few are remembered.
func TestBounds(t *testing.T) {
	s := &service{}
	n, counts := newTest(t, s, "", "")
	for round := range uint32(20) {
		for uid := range uint32(maxAsked + 10) {
			n.User(round<<16 + uid + 1)
		}
		n.Look(t.Context())
	}
	if got := len(n.tables[passwd].ids); got > maxIDs {
		t.Errorf("%d ids are remembered", got)
	}
	if got := counts.Count(tally.NamesDropped); got != 200 {
		t.Errorf("%d dropped, want 200", got)
	}
	if name, known := n.User(19<<16 + maxAsked + 5); name != fmt.Sprint(19<<16+maxAsked+5) || known {
		t.Errorf("who was dropped is %s, %v", name, known)
	}
}
