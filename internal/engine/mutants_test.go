// SPDX-License-Identifier: Apache-2.0

//go:build mutants

package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mutants are deliberate faults: in a file, from the root of the tree, a text that is
// there once is replaced by another. TestModel must find each.
var mutants = []struct{ name, file, old, new string }{
	{"the time asleep is taken off", "internal/engine/events.go",
		"at, before := e.clocks.stamped(ev.Time)", "at, before := ev.Time.Boot(-e.clocks.asleep), ev.Time.Boot(-e.clocks.asleep)"},
	{"a line of one that lived over a sleep fits nobody", "internal/engine/clocks.go",
		"return max(c.sleeps.since(l.Start.Boot()), c.elder)", "return 0 * c.elder"},
	{"the setting of the clock of the last boot is not kept", "internal/engine/load.go",
		"	e.clocks.recall(st.Meta.Booted)\n	e.clocks.elder", "	e.clocks.recall(e.join.Booted)\n	e.clocks.elder"},
	{"no rescan after loss", "internal/engine/rescan.go",
		"	if !e.loss.pending {\n		return nil\n	}\n	if err", "	if e.loss.pending = false; true {\n		return nil\n	}\n	if err"},
	{"the dying are found again", "internal/engine/loss.go",
		"return !known || !p.Start.Same(l.Start)", "return known && !p.Start.Same(l.Start)"},
	{"all is trusted also after loss", "internal/engine/loss.go",
		"	if !e.loss.pending && e.loss.gaps == 0 {\n", "	if true {\n"},
	{"unproven is taken for proven at a line", "internal/engine/deaths.go",
		"life.Set, life.Inferred, life.Unproven = set, true, unproven", "life.Set, _ = set, unproven"},
	{"what was inferred is inherited as proven", "pkg/groups/tracker.go",
		"return p.set, p.flags & inferred", "return p.set, 0"},
	{"lines are read that were written since the barrier", "internal/engine/service_test.go",
		"m.join(s, end)", "m.join(s, max(end, len(m.lines)))"},
	{"no barrier ends the wait for a line", "internal/engine/deaths.go",
		"	e.tracker.Barrier(e.unledgered)\n", ""},
	{"parts are counted beside the whole", "internal/engine/events.go",
		"if !records[i].Whole {", "if false {"},
	{"who changed groups is not noted", "pkg/groups/state.go",
		"		e.flags |= hasAccount\n		t.touch(k.PID, e)", "		t.touch(k.PID, e)"},
	{"the bill of a deleted group is not merged", "internal/engine/catalog.go",
		"e.join.Merge(e.tracker.DropGroup(g.ID), e.tracker.Sets.Only(groups.Former))", "e.tracker.DropGroup(g.ID)"},
	{"the history forgets the groups of a set too early", "internal/engine/catalog.go",
		"e.history.rolls.Retire(set)", "_ = set"},
	{"what was reported is not saved", "internal/engine/save.go",
		"meta.Reported, meta.Daily = e.join.Reported, e.history.daily", "meta.Daily = e.history.daily"},
	{"deaths that wait are not saved", "internal/engine/save.go",
		"	e.join.OpenDeaths(tx.PutDeath)\n", ""},
	{"accounts are not restored", "internal/engine/load.go",
		"if m.Account != (usage.Account{}) {", "if m.Account.Base.CPU() < 0 {"},
	{"who awaits a line is not handed over", "internal/engine/save.go",
		"			e.tracker.EachAwaiting(put)\n", ""},
	{"the history of a failed commit is lost", "internal/engine/history.go",
		"		p.rolls.Failed()\n", "		p.rolls.Done()\n"},
	{"what came while a commit was under way is taken for saved", "internal/history/history.go",
		"	r.sent = r.sent[:0]\n	if r.latest", "	for _, e := range r.changed {\n		e.queued = false\n	}\n	r.sent, r.changed = r.sent[:0], nil\n	if r.latest"},
	{"who reaps is taken for the parent", "internal/engine/emit.go",
		"PPID: u.Forker}", "PPID: u.PPID}"},
	{"parents in no group are forgotten", "internal/engine/lineage.go",
		"!l.Set.Grouped() && e.rows == nil ||", "!l.Set.Grouped() ||"},
	{"a former life of a pid that is used again did not fork", "internal/engine/events.go",
		"if e.tracker.Older(child) {", "if false {"},
	{"what was used in an hour is told as of the next", "internal/engine/emit.go",
		"min(max(e.now.Wall.UnixNano(), first), next-1)", "max(e.now.Wall.UnixNano(), min(first, next))"},
	{"a failed commit is not made good", "internal/engine/save.go",
		"	e.unsaved = err != nil\n", ""},
}

// The model has so long and so many cases to find one. The same cases find nothing
// where there is no fault.
const (
	perMutant = 30 * time.Second
	cases     = "500"
)

// TestMutants proves that the model can fail: it runs against a copy of the sources
// with each fault, and must find it. The tree is not changed.
func TestMutants(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if how := hunt(dir, build(t, dir)); how != "" {
		t.Fatalf("without a fault: %s", how)
	}
	found := 0
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			dir := t.TempDir()
			test := build(t, dir, "-overlay", overlay(t, dir, root, m.file, m.old, m.new))
			start := time.Now()
			how := hunt(dir, test)
			if how == "" {
				t.Fatalf("not found in %v and %s cases", perMutant, cases)
			}
			found++
			t.Logf("found in %.1f s: %s", time.Since(start).Seconds(), how)
		})
	}
	t.Logf("found %d of %d", found, len(mutants))
}

// build builds the tests of this package.
func build(t *testing.T, dir string, flags ...string) (test string) {
	t.Helper()
	test = filepath.Join(dir, "engine.test")
	args := append([]string{"test", "-c", "-o", test}, flags...)
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		t.Fatalf("go %v: %v\n%s", args, err, out)
	}
	return test
}

// overlay writes the file with its fault, and the table that has it built in place of
// the true one.
func overlay(t *testing.T, dir, root, file, old, new string) string {
	t.Helper()
	path := filepath.Join(root, file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), old); n != 1 {
		t.Fatalf("%s has %d times what is to be replaced: %s", file, n, old)
	}
	changed, table := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	data, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{changed: strings.Replace(string(text), old, new, 1), table: string(data)} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return table
}

// hunt runs the model with one draw of cases and another until it fails, and returns with
// what; "" if it does not.
func hunt(dir, test string) string {
	ctx, cancel := context.WithTimeout(context.Background(), perMutant)
	defer cancel()
	return cmp.Or(draw(ctx, dir, test, "1"), draw(ctx, dir, test, "3"))
}

func draw(ctx context.Context, dir, test, seed string) string {
	run := exec.CommandContext(ctx, test, "-test.run", "^TestModel$", "-rapid.checks", cases, "-rapid.shrinktime", "0s", "-rapid.nofailfile")
	run.Dir = dir
	run.Env = append(os.Environ(), "RAPID_SEED="+seed)
	out, err := run.CombinedOutput()
	if err == nil || ctx.Err() != nil {
		return ""
	}
	for line := range strings.Lines(string(out)) {
		if _, after, ok := strings.Cut(line, "[rapid] "); ok {
			return strings.TrimSpace(after[:min(len(after), 100)])
		}
	}
	return strings.TrimSpace(string(out[:min(len(out), 100)]))
}
