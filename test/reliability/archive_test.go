// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"elsa/internal/fault"
	"elsa/internal/journal"
	"elsa/internal/kerneltest"
	"elsa/test/workload"
)

// elsad and elsa-archive are killed again and again, each at its points, while users run
// short processes in groups that overlap, and one process is moved between them. At the
// end every death has one row in the archive or the journal, as it has one line and is
// on a bill once; the rows add up to the cells of the history and to the bills, in every
// figure. Whoever asks meanwhile is told of no damage, and of no fewer than before.
func TestKernelArchiveCrash(t *testing.T) {
	needKernel(t)
	rnd := random(t)
	kills, sealKills := len(fault.JournalPoints), len(fault.ArchivePoints)
	total, sizes := uint64(8_000), small+settled+",rows=150"
	if soak() {
		kills, sealKills, total, sizes = 40, 40, 100_000, small+settled+",rows=500"
	}
	if n, err := strconv.Atoi(os.Getenv("ELSA_KILLS")); err == nil {
		kills, sealKills = n, n
	}
	a := newArchive(t)
	d := newDaemon(t, t.TempDir(), "--commit-interval", "100ms", "--journal", "on", "--archive-dir", a.dir)
	w := newWitness(t, d)
	d.start(sizes)
	unwritten := d.unwritten()
	for _, g := range overlapping {
		d.ctl("group", "create", g)
	}
	loads, mover := d.users(), d.mover("one")

	points := pointsOf(kills, fault.JournalPoints, fault.Points[:slices.Index(fault.Points, fault.SegmentCreate)])
	points = slices.DeleteFunc(points, func(p string) bool { return p == fault.RestoreScanned }) // a ring that was kept is read on, without it
	sealing := pointsOf(sealKills, fault.ArchivePoints)
	armed := func(point string) string {
		most := 3
		if strings.HasPrefix(point, "re") || strings.HasPrefix(point, "journal.r") || strings.HasPrefix(point, "seal.") {
			most = 1 // passed once in a while
		}
		return fmt.Sprintf("ELSA_FAULT=%s=kill@%d", point, 1+rnd.IntN(most))
	}
	var at, sealAt string // where they will be killed; "" is nowhere
	launch := func() {
		if at = take(&points, a.reachable); at == "" {
			d.launch(sizes)
		} else {
			d.launch(sizes, armed(at))
		}
	}
	launchArchive := func() {
		if sealAt = take(&sealing, func(string) bool { return true }); sealAt == "" {
			a.launch()
		} else {
			a.launch(armed(sealAt))
		}
	}
	d.kill()
	launch()
	launchArchive()
	elsad, seals, seen := 1, 0, uint64(0)
	for at != "" || len(points) > 0 || sealAt != "" {
		kerneltest.Eventually(t, fmt.Sprintf("elsad is killed at %q, or elsa-archive at %q", at, sealAt), func() bool {
			return closed(d.exited) || closed(a.exited) || at == "" && slices.ContainsFunc(points, a.reachable)
		})
		if closed(a.exited) {
			a.check(t, unix.SIGKILL)
			seals++
			launchArchive()
		} else {
			if !closed(d.exited) { // it ran so that there is something to be released
				d.kill()
			}
			d.check(t, unix.SIGKILL)
			elsad++
			launch()
		}
		n := d.told(a.dir)
		if n < seen {
			t.Errorf("after %d and %d kills %d processes are told of, %d before", elsad, seals, n, seen)
		}
		seen = n
		mover.move()
	}
	<-d.ready
	for d.told(a.dir) < total {
		d.more("one", 500)
	}

	made := map[string]uint64{}
	for _, l := range loads {
		n := uint64(l.end().Processes)
		for _, g := range l.groups {
			made[g] += n
		}
	}
	made[mover.end()]++
	r := d.report()
	d.stop()
	d.check(t, 0)
	a.cmd.Process.Signal(unix.SIGTERM)
	<-a.exited
	a.check(t, 0)

	st := d.stored()
	rows := d.rows(a.dir)
	deaths, doubled := rows.deaths(t)
	lines := unwritten + w.count(st.Meta.Position)
	lost, more := differ(lines, ended(st))
	less, again := differ(lines, deaths)
	if lost, doubled = lost+less, doubled+more+again; lost+doubled != 0 {
		t.Errorf("%d lines, %d deaths on bills, %d in the archive: %d lost, %d doubled", lines, ended(st), deaths, lost, doubled)
	}
	for _, g := range overlapping {
		if got := groupOf(t, r, g).Usage.ProcessesEnded; got != made[g] {
			t.Errorf("group %s: %d made, %d on its bill", g, made[g], got)
		}
	}
	cells := rows.matchHistory(t, d, st)
	rows.matchBills(t, st)
	row(t, "SIGKILL of elsad and of elsa-archive at every step of journal and archive, processes moved between groups", elsad+seals, lines, lost, doubled,
		fmt.Sprintf("%d and %d kills; rows of the archive: %d deaths and %d parts in %d files and the journal; all figures as in %d cells of the history and in the bills",
			elsad, seals, deaths, uint64(len(rows))-deaths, a.files(), cells))
}

// settled has deaths wait for their exact record for a second, not ten minutes: one that
// never comes keeps the rows from being sealed.
const settled = ",open=1"

// pointsOf is n points: all of the lists, then the first list again and again.
func pointsOf(n int, lists ...[]string) (all []string) {
	for all = slices.Concat(lists...); len(all) < n; {
		all = append(all, lists[0]...)
	}
	return all[:n]
}

// overlapping are the groups, and those of each user's two loads.
var (
	overlapping = []string{"one", "two", "three"}
	usersGroups = [][]string{{"one"}, {"one", "two"}, {"two", "three"}, {"one", "two", "three"}}
)

// usersLoad is a load of a user.
type usersLoad struct {
	load
	groups []string
}

// users starts two loads of each of four users, of two commands.
func (d *daemon) users() (loads []*usersLoad) {
	d.t.Helper()
	program, err := os.ReadFile(workload.Build(d.t))
	if err != nil {
		d.t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "elsa-users")
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		d.t.Fatal(err)
	}
	for i, in := range usersGroups {
		uid := uint32(61001 + i)
		for _, name := range []string{"compile", "link"} {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, program, 0o755); err != nil && len(loads) < 2 {
				d.t.Fatal(err)
			}
			// The shell waits until it is in all its groups.
			cmd := exec.Command("sh", "-c", `read line && exec "$@"`, "sh", path, "churn", "cbz", "1", "1500")
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
			l := &usersLoad{load{t: d.t, cmd: cmd}, in}
			l.in, l.out = pipes(d.t, cmd)
			d.t.Cleanup(func() { l.in.Close(); l.cmd.Wait() })
			for _, g := range in {
				d.ctl("group", "add", g, fmt.Sprint(cmd.Process.Pid))
			}
			io.WriteString(l.in, "\n")
			loads = append(loads, l)
		}
	}
	return loads
}

// mover is a process that uses some CPU time whenever it is moved to another group.
type mover struct {
	d     *daemon
	cmd   *exec.Cmd
	in    io.WriteCloser
	group string
}

func (d *daemon) mover(group string) *mover {
	d.t.Helper()
	m := &mover{d: d, group: group, cmd: exec.Command("sh", "-c", `while read line; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; done`)}
	m.in, _ = pipes(d.t, m.cmd)
	d.t.Cleanup(func() { m.in.Close(); m.cmd.Wait() })
	d.ctl("group", "add", group, fmt.Sprint(m.cmd.Process.Pid))
	return m
}

// move tells it to work, and moves it, unless elsad is killed meanwhile: then it may
// have been moved, or not.
func (m *mover) move() {
	io.WriteString(m.in, "\n")
	next := overlapping[(slices.Index(overlapping, m.group)+1)%len(overlapping)]
	if m.d.command("group", "add", "--move", next, fmt.Sprint(m.cmd.Process.Pid)).Run() == nil {
		m.group = next
	}
}

// end ends it, and says in which group it was.
func (m *mover) end() string {
	m.d.ctl("group", "add", "--move", "one", fmt.Sprint(m.cmd.Process.Pid))
	m.in.Close()
	m.cmd.Wait()
	return "one"
}

// keeper is an archive and the elsa-archive that keeps it.
type keeper struct {
	t   testing.TB
	dir string
	*run
}

func newArchive(t testing.TB) *keeper {
	a := &keeper{t: t, dir: t.TempDir()}
	t.Cleanup(func() {
		if a.run == nil {
			return
		}
		a.kill()
		if t.Failed() {
			t.Logf("the last elsa-archive said:\n%s", a.said())
		}
	})
	return a
}

// launch starts elsa-archive and does not wait.
func (a *keeper) launch(env ...string) {
	a.t.Helper()
	cmd := exec.Command(filepath.Join(bin, "elsa-archive"), "serve", "--archive-dir", a.dir, "--socket", filepath.Join(a.dir, "sock"), "--every", "1s")
	cmd.Env = append(os.Environ(), env...)
	a.run = runOf(a.t, cmd)
}

func (a *keeper) kill() {
	a.cmd.Process.Kill()
	<-a.exited
}

// check fails the test unless a service ended by a signal, or, if that is 0, in order,
// and had nothing to complain of.
func (r *run) check(t testing.TB, by syscall.Signal) {
	t.Helper()
	if ws := r.cmd.ProcessState.Sys().(syscall.WaitStatus); by != 0 && ws.Signal() != by || by == 0 && ws.ExitStatus() != 0 {
		t.Fatalf("%s ended by itself: %v\n%s", r.cmd.Path, r.cmd.ProcessState, r.said())
	}
	if strings.Contains(r.said(), "level=ERROR") {
		t.Errorf("%s said:\n%s", r.cmd.Path, r.said())
	}
}

// reachable tells whether elsad, started now, gets to a point: it removes what is sealed
// of the journal when it starts, and then only once a minute.
func (a *keeper) reachable(point string) bool {
	if point != fault.JournalRelease && point != fault.JournalReleased {
		return true
	}
	list, err := journal.List(filepath.Join(a.dir, journal.Subdir))
	return err == nil && len(list) > 1 && list[0] <= a.sealed()
}

// sealed is the number of the last segment that is.
func (a *keeper) sealed() uint64 {
	a.t.Helper()
	n, err := journal.LastSealed(a.dir)
	if err != nil {
		a.t.Fatal(err)
	}
	return n
}

// files is how many sealed files there are.
func (a *keeper) files() int {
	names, _ := filepath.Glob(filepath.Join(a.dir, "day=*", "*.parquet"))
	return len(names)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// take takes the first of the points that can be reached off a list; "" if there is none.
func take(points *[]string, reachable func(string) bool) (point string) {
	i := slices.IndexFunc(*points, reachable)
	if i >= 0 {
		point = (*points)[i]
		*points = slices.Delete(*points, i, i+1)
	}
	return point
}

// told is of how many processes elsactl tells, without damage.
func (d *daemon) told(archive string) (n uint64) {
	d.t.Helper()
	var sums []struct {
		Processes uint64 `json:"processes"`
	}
	if err := json.Unmarshal([]byte(d.ctl("processes", "--archive-dir", archive, "--by", "exit", "-o", "json")), &sums); err != nil {
		d.t.Fatal(err)
	}
	for _, s := range sums {
		n += s.Processes
	}
	return n
}
