// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
	"elsa/pkg/client"
)

// ruled starts an elsad with a rule by environment.
func ruled(t *testing.T) *daemon {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "elsa.yaml")
	if err := os.WriteFile(file, []byte("rules: {match: all, list: [{group: ci, env: {ELSA_TEST_CI: '*'}}]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ELSA_TEST_CI", "")
	os.Unsetenv("ELSA_TEST_CI")
	return newDaemon(t, dir, "--config", file)
}

// attentive asks for the status all the time until the returned function is called,
// which says how often, and how long the longest answer took.
func (d *daemon) attentive() (end func() (asked int, longest time.Duration)) {
	ctx, cancel := context.WithCancel(context.Background())
	type result struct {
		asked   int
		longest time.Duration
	}
	done := make(chan result)
	go func() {
		var r result
		c := client.New(d.socket())
		defer c.Close()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			begin := time.Now()
			if _, err := c.Status(context.Background()); err != nil {
				d.t.Errorf("status: %v", err)
			}
			r.asked, r.longest = r.asked+1, max(r.longest, time.Since(begin))
			<-tick.C
		}
		done <- r
	}()
	return func() (int, time.Duration) {
		cancel()
		r := <-done
		return r.asked, r.longest
	}
}

// memory is the most that elsad has had in memory, in bytes.
func (r *run) memory() int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.ParseInt(fields[0], 10, 64)
	return kib << 10
}

// bound fails t if elsad has had more memory than that.
func (d *daemon) bound(mib int64) string {
	d.t.Helper()
	most := d.memory()
	if most > mib<<20 {
		d.t.Errorf("elsad had %d MiB in memory, want %d at most", most>>20, mib)
	}
	return fmt.Sprintf("%d MiB of memory at most", most>>20)
}

// A hundred processes hang in an exec, where the kernel lets who looks at them wait
// for ever. elsad answers all the time, stops, starts, and applies its rules once
// the processes can be looked at.
func TestKernelStuckExec(t *testing.T) {
	kerneltest.Need(t, kerneltest.FUSE)
	needKernel(t)
	d := ruled(t)
	d.start()
	file := kerneltest.NewStuck(t)
	end := d.attentive()
	n := 100
	var pids []int
	t.Setenv("ELSA_TEST_CI", "1")
	for range n {
		pids = append(pids, file.Spawn(t, "/bin/sleep", "600").PID)
	}
	os.Unsetenv("ELSA_TEST_CI")
	kerneltest.Eventually(t, "processes hang in their exec", func() bool { return file.Held() >= n })
	d.ctl("group", "create", "g")
	refused := 0
	for _, pid := range pids[:20] {
		if d.command("group", "add", "g", fmt.Sprint(pid)).Run() != nil {
			refused++
		}
		d.command("explain", fmt.Sprint(pid)).Run()
		d.command("rules", "test", fmt.Sprint(pid)).Run()
	}
	d.ctl("usage")
	if len(d.metrics()) == 0 {
		t.Error("no metrics")
	}
	late := d.status().Limited["looks_late"]
	if late == 0 {
		end()
	}
	kerneltest.Need(t, kerneltest.WaitsForExec(late > 0))
	asked, longest := end()
	d.stop()
	d.start()
	end = d.attentive()
	d.ctl("usage", "--wait")
	again, longestAgain := end()
	file.Release()
	kerneltest.Eventually(t, "the rule has all of them", func() bool {
		in := membersOf(d, "ci")
		return !slices.ContainsFunc(pids, func(pid int) bool { return !slices.Contains(in, pid) })
	})
	longest = max(longest, longestAgain)
	if longest > time.Second {
		t.Errorf("an answer took %v", longest)
	}
	row(t, "Processes that hang in an exec, with a rule by environment; a restart meanwhile", n, 0, 0, 0,
		fmt.Sprintf("%d answers, the longest took %d ms; %d looks late, all ruled in the end; %s", asked+again, longest.Milliseconds(), late, d.bound(200)))
	d.stop()
}

// membersOf are the pids in a group.
func membersOf(d *daemon, group string) (pids []int) {
	g, err := client.New(d.socket()).Group(context.Background(), group)
	if err != nil {
		return nil
	}
	for _, m := range g.Members {
		pids = append(pids, m.PID)
	}
	return pids
}

// A hundred processes say that their environment has 200 MB. The rules read the
// beginning of it, and elsad stays as small as it was.
func TestKernelLargeEnvironment(t *testing.T) {
	needKernel(t)
	d := ruled(t)
	d.start()
	const n = 100
	for range n {
		c := kerneltest.Spawn(t, "environment", "200000000")
		if got := c.Line(); got != "large" {
			t.Skip("the environment cannot be moved here:", got)
		}
	}
	end := d.attentive()
	for times := uint64(1); times <= 3; times++ {
		d.cmd.Process.Signal(unix.SIGHUP)
		kerneltest.Eventually(t, "the rules look at them", func() bool { return d.status().Limited["process_memory"] >= times*n })
	}
	asked, longest := end()
	row(t, "Processes with an environment of 200 MB, looked at by a rule three times", n, 0, 0, 0,
		fmt.Sprintf("%d answers, the longest took %d ms; %s", asked, longest.Milliseconds(), d.bound(100)))
	d.stop()
}

// floodRequest is a request that gets no further than its answer.
func floodRequest(method, path, body string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n%s", method, path, len(body), body)
}

// An ordinary user makes as many groups as he may, with all the labels there may be,
// and sixty of his clients ask for lists of them and read nothing.
func TestKernelUnreadAnswers(t *testing.T) {
	needKernel(t)
	d := newDaemon(t, openDir(t))
	d.start()
	body := `{"name":"big-%d","labels":{`
	for i := range 16 {
		body += fmt.Sprintf(`"label%d":"%s",`, i, strings.Repeat("x", 256))
	}
	body = strings.TrimSuffix(body, ",") + "}}"
	maker := asNobody(t, "ask", d.socket(), "1000", "POST", "/v1/groups", body)
	made := maker.Line()
	before := d.memory()
	end := d.attentive()
	paths := []string{"/v1/groups", "/v1/usage", "/v1/usage?wait=true"}
	for range 3 {
		for _, path := range paths {
			c := asNobody(t, "flood", "unix", d.socket(), "60", floodRequest("GET", path, ""))
			c.Line()
			if len(d.metrics()) == 0 {
				t.Error("no metrics meanwhile")
			}
			c.Release()
			c.Wait()
		}
	}
	asked, longest := end()
	s := d.status().Limited
	row(t, "Clients of one user that ask for lists of his groups and read nothing", 3*len(paths)*60, 0, 0, 0,
		fmt.Sprintf("%s groups made; %d answers given up, %d requests and %d connections refused; %d answers to root, the longest took %d ms; %d MiB before, %s",
			made, s["answers"], s["requests"], s["connections"], asked, longest.Milliseconds(), before>>20, d.bound(256)))
	d.stop()
}

// openDir is a directory that every user can reach.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for p := dir; p != os.TempDir() && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Clients that do not read /metrics starve no other scrape.
func TestKernelUnreadMetrics(t *testing.T) {
	needKernel(t)
	d := newDaemon(t, openDir(t))
	d.start()
	for i := range 2000 {
		if i%100 == 0 && d.command("group", "create", fmt.Sprintf("g%04d", i)).Run() != nil {
			t.Fatal("no group")
		}
	}
	scraped := 0
	var longest time.Duration
	for _, n := range []int{5, 50} {
		c := asNobody(t, "flood", "tcp", d.address, fmt.Sprint(n), floodRequest("GET", "/metrics", ""))
		c.Line()
		for range 10 {
			begin := time.Now()
			if len(d.metrics()) == 0 {
				t.Errorf("no scrape beside %d that read nothing", n)
			}
			scraped, longest = scraped+1, max(longest, time.Since(begin))
		}
		c.Release()
		c.Wait()
	}
	row(t, "Clients that ask for /metrics and read nothing", 55, 0, 0, 0,
		fmt.Sprintf("%d scrapes beside them, the longest took %d ms; %s", scraped, longest.Milliseconds(), d.bound(200)))
	d.stop()
}

// More connections than descriptors: those of users are bounded, and the service has
// some left.
func TestKernelFewDescriptors(t *testing.T) {
	kerneltest.Need(t, kerneltest.Program("prlimit", "util-linux"))
	needKernel(t)
	d := newDaemon(t, openDir(t))
	d.prefix = []string{"prlimit", "--nofile=400:400"}
	d.start()
	ask := floodRequest("GET", "/v1/groups", "")
	made := 0
	for _, c := range []*kerneltest.Child{
		asNobody(t, "flood", "unix", d.socket(), "64", ask[:20]),
		asNobody(t, "flood", "unix", d.socket(), "500", ask[:20]),
		asNobody(t, "flood", "tcp", d.address, "564", ask[:20]),
	} {
		n, _ := strconv.Atoi(c.Line())
		made += n
		d.ctl("run", "-g", "g", "--quiet", "--", "true")
		if len(d.metrics()) == 0 {
			t.Error("no metrics beside the connections")
		}
	}
	if s := d.status(); s.Limited["connections"] == 0 {
		t.Error("no connection was refused or counted")
	}
	got := groupOf(t, d.report(), "g").Usage.ProcessesEnded
	lost, doubled := differ(3, uint64(got))
	row(t, "Connections that say nothing, with 400 descriptors", made, 3, lost, doubled,
		fmt.Sprintf("%d refused or closed to make room; %s", d.status().Limited["connections"], d.bound(200)))
	if lost+doubled > 0 {
		t.Errorf("%d ended, want 3", got)
	}
	d.stop()
}

// A request that names a process 170,000 times, with its descendants, takes no more
// of the engine than one that names it once; and a deep tree in many groups can be
// explained.
func TestKernelRepeatedPIDs(t *testing.T) {
	needKernel(t)
	d := newDaemon(t, openDir(t))
	d.start()
	parent := asNobody(t, "family", "600")
	parent.Line()
	asNobody(t, "ask", d.socket(), "1", "POST", "/v1/groups", `{"name":"mine"}`).Wait()
	pids := strings.TrimSuffix(strings.Repeat(fmt.Sprintf("%d,", parent.PID), 170000), ",")
	body := filepath.Join(d.dir, "body")
	if err := os.WriteFile(body, []byte(`{"pids":[`+pids+`],"tree":true}`), 0o644); err != nil {
		t.Fatal(err)
	}
	end := d.attentive()
	const n = 5
	said := asNobody(t, "ask", d.socket(), fmt.Sprint(n), "POST", "/v1/groups/mine/members", "@"+body).Line()
	asked, longest := end()
	if longest > 2*time.Second {
		t.Errorf("an answer took %v", longest)
	}
	row(t, "A process of a tree of 600 named 170,000 times in a request", n, 0, 0, 0,
		fmt.Sprintf("%s answered; %d answers to root meanwhile, the longest took %d ms; %s", said, asked, longest.Milliseconds(), d.bound(200)))
	if live := len(membersOf(d, "mine")); live != 601 && said != "0" {
		t.Errorf("%d members, want 601", live)
	}
	d.stop()
}
