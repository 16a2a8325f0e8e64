// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
	"elsa/pkg/client"
)

// manager stands in for systemd: it keeps the descriptors that a service stores
// and hands them to its next start.
type manager struct {
	t      *testing.T
	socket *net.UnixConn
	path   string
	mu     sync.Mutex
	stored map[string]*os.File
	// removed are closed by the test's goroutine, which starts processes with them.
	removed []*os.File
}

func newManager(t *testing.T) *manager {
	t.Helper()
	m := &manager{t: t, path: filepath.Join(t.TempDir(), "notify"), stored: map[string]*os.File{}}
	var err error
	if m.socket, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	// The socket takes ten messages or so, and a service that stores more waits.
	closed, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-closed:
				return
			default:
				m.read()
			}
		}
	}()
	t.Cleanup(func() {
		close(closed)
		<-ended
		m.socket.Close()
		for _, f := range append(slices.Collect(maps.Values(m.stored)), m.removed...) {
			f.Close()
		}
	})
	return m
}

// read takes what the service has said by now.
func (m *manager) read() {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	text, rights := make([]byte, 4096), make([]byte, 256)
	for {
		m.socket.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		n, oob, _, _, err := m.socket.ReadMsgUnix(text, rights)
		if err != nil {
			return
		}
		said := map[string]string{}
		for line := range strings.Lines(string(text[:n])) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
			said[k] = v
		}
		name := said["FDNAME"]
		switch {
		case said["FDSTOREREMOVE"] == "1" && m.stored[name] != nil:
			m.removed = append(m.removed, m.stored[name])
			delete(m.stored, name)
		case said["FDSTORE"] == "1":
			if said["FDPOLL"] != "0" {
				m.t.Errorf("%s is stored to be dropped at an overrun", name)
			}
			messages, err := unix.ParseSocketControlMessage(rights[:oob])
			if err != nil || len(messages) != 1 {
				m.t.Errorf("message with %d descriptors: %v", len(messages), err)
				return
			}
			fds, err := unix.ParseUnixRights(&messages[0])
			if err != nil || len(fds) != 1 {
				m.t.Errorf("message with descriptors %v: %v", fds, err)
				return
			}
			m.stored[name] = os.NewFile(uintptr(fds[0]), name)
		}
	}
}

// kept is what is stored now.
func (m *manager) kept() map[string]*os.File {
	m.read()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.removed {
		f.Close()
	}
	m.removed = nil
	return maps.Clone(m.stored)
}

// sockets are those of what is stored that a start takes out of the store; a ring stays
// in it from a start on.
func sockets(stored map[string]*os.File) map[string]*os.File {
	maps.DeleteFunc(stored, func(name string, _ *os.File) bool { return strings.HasPrefix(name, "elsa-ring-") })
	return stored
}

// alter makes a command a service of m's.
func (m *manager) alter(cmd *exec.Cmd) {
	m.read()
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name, f := range m.stored {
		names = append(names, name)
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+m.path, "FDSTORE=8")
	if len(names) > 0 {
		// A process alone knows its own pid.
		cmd.Env = append(cmd.Env, fmt.Sprint("LISTEN_FDS=", len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
		cmd.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
	}
}

// A load runs over a planned restart. All that it forked while no service ran is
// in its group by its own fork event: none is inferred, and none is lost, not
// even one whose parents are gone. The records of what died then were queued in
// the sockets and in the ring, and each is on its bill with the best of them.
func TestKernelPlannedRestart(t *testing.T) {
	for _, tt := range []struct {
		name   string
		source string
		args   []string
		need   func(testing.TB)
		// best is the precision that all deaths must have.
		best func(client.Precision) uint64
	}{
		{"events by BPF alone", "bpf", []string{"--acct", "off", "--taskstats", "off", "--exact", "off"}, func(t testing.TB) {
			kerneltest.Need(t, kerneltest.Root, kerneltest.BTF, kerneltest.BPF)
		}, nil},
		{"events by BPF with exact records", "bpf", nil, func(t testing.TB) {
			needKernel(t)
			kerneltest.Need(t, kerneltest.BTF, kerneltest.BPF)
		}, func(p client.Precision) uint64 { return p.Exact }},
		{"events alone", "proc", []string{"--acct", "off", "--taskstats", "off", "--exact", "off"}, func(t testing.TB) {
			kerneltest.Need(t, kerneltest.Root, kerneltest.InitNamespaces, kerneltest.ProcEvents)
		}, nil},
		{"with taskstats", "proc", []string{"--exact", "off"}, needKernel, func(p client.Precision) uint64 { return p.Sampled }},
		{"with exact records", "proc", nil, func(t testing.TB) {
			needKernel(t)
			kerneltest.Need(t, kerneltest.BTF, kerneltest.BPF)
		}, func(p client.Precision) uint64 { return p.Exact }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.need(t)
			plannedRestart(t, tt.source, tt.args, tt.best)
		})
	}
}

func plannedRestart(t *testing.T, source string, args []string, best func(client.Precision) uint64) {
	m := newManager(t)
	as := m.alter
	if _, err := exec.LookPath("/usr/bin/setpriv"); err == nil {
		as = func(cmd *exec.Cmd) { // with no more rights than the unit gives
			bounded(cmd, unitCapabilities(t, "elsad.service"))
			m.alter(cmd)
		}
	}
	d := startAs(t, as, append(args, "--source", source)...)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	touch := func(name string) {
		t.Helper()
		if err := os.WriteFile(file(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// While the service is down it also makes an orphan. The subshell that does so
	// ends as mv.
	load := d.ctlCommand("run", "-g", "a", "--quiet", "--", "sh", "-c", `cd `+dir+`; n=0
		while [ ! -e stop ]; do
			/bin/true; n=$((n+1)); echo $n >made
			if [ -e gap ] && [ ! -e orphan ]; then (sleep 600 & echo $! >orphan.new; mv orphan.new orphan); n=$((n+1)); fi
		done; echo $n`)
	out, err := load.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		os.WriteFile(file("stop"), nil, 0o600)
		load.Wait()
	})
	d.ctl("group", "create", "b")
	// made is how many children the load has made.
	most := 0
	made := func() int {
		text, _ := os.ReadFile(file("made")) // empty while it is written
		n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		most = max(most, n)
		return most
	}
	kerneltest.Eventually(t, "the load runs", func() bool { return made() >= 50 })

	orphan := 0
	t.Cleanup(func() {
		if orphan > 0 {
			unix.Kill(orphan, unix.SIGKILL)
		}
	})
	for range 2 {
		before := d.usage("a").Usage
		d.stop()
		m.read()
		stored := m.kept()
		if stored["elsa-events"] == nil && stored["elsa-ring-fork-link"] == nil {
			t.Fatalf("no events are stored at the stop: %v\n%s", stored, d.said())
		}
		atStop := made()
		touch("gap")
		kerneltest.Eventually(t, "the load makes an orphan", func() bool { _, err := os.Stat(file("orphan")); return err == nil })
		kerneltest.Eventually(t, "more of the load", func() bool { return made() >= atStop+200 })
		d.start()
		m.read()
		if stored := sockets(m.kept()); len(stored) != 0 {
			t.Errorf("still in the store after the start: %v", stored)
		}
		u := d.usage("a")
		if u.Usage.CPUSeconds < before.CPUSeconds || u.Usage.ProcessesEnded < before.ProcessesEnded+50 {
			t.Errorf("the bill went from %+v to %+v over the restart", before, u.Usage)
		}
		t.Logf("%d processes over the gap; precision %+v", u.Usage.ProcessesEnded-before.ProcessesEnded, u.Precision)
	}
	if n := strings.Count(d.said(), "went on with the stored events"); n != 2 {
		t.Errorf("%d of 2 starts went on with the stored events\n%s", n, d.said())
	}

	text, err := os.ReadFile(file("orphan"))
	if err != nil {
		t.Fatal(err)
	}
	if orphan, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
		t.Fatal(err)
	}
	if show := d.ctl("group", "show", "a"); !strings.Contains(show, strconv.Itoa(orphan)) {
		t.Errorf("orphan %d of the gap is not in its group:\n%s", orphan, show)
	}
	touch("stop")
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	children, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	load.Wait()
	u := d.usage("a")
	if got, want := u.Usage.ProcessesEnded, uint64(children+1); got != want {
		t.Errorf("%d processes ended, want %d", got, want)
	}
	if u.Usage.ProcessesLive != 1 || u.Usage.ProcessesStarted != uint64(children+2) || u.Precision.Inferred != 0 {
		t.Errorf("started %d, live %d, inferred %d; want %d, the orphan, none",
			u.Usage.ProcessesStarted, u.Usage.ProcessesLive, u.Precision.Inferred, children+2)
	}
	if best != nil {
		d.ctl("usage", "--wait")
		u = d.usage("a")
		// There are kernels that leave one exact record in a thousand out.
		ended := u.Usage.ProcessesEnded
		if n := best(u.Precision); n < ended-ended/100 || u.Precision.Rounded != 0 {
			t.Errorf("%d of %d deaths have the best precision: %+v", n, ended, u.Precision)
		}
	}
	if s := d.status(); s.Events.Lost != 0 || s.Events.Resyncs != 0 {
		t.Errorf("%d events lost, %d resyncs over the restart", s.Events.Lost, s.Events.Resyncs)
	}
}

// What waits in the store and does not go with the next start is closed, and said:
// flags that have no use for it, and a database that knows nothing of it.
func TestKernelStoredUnfit(t *testing.T) {
	needKernel(t)
	kerneltest.Need(t, kerneltest.BTF, kerneltest.BPF)
	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, d *daemon)
		say   []string
	}{
		{"flags", func(_ *testing.T, d *daemon) {
			d.args = []string{"--source", "proc", "--taskstats", "off", "--exact", "off"}
		}, []string{
			"went on with the stored events", "descriptor=elsa-taskstats", "cannot go on with the kept ring",
		}},
		{"another database", func(t *testing.T, d *daemon) {
			if err := os.RemoveAll(filepath.Join(d.dir, "state")); err != nil {
				t.Fatal(err)
			}
		}, []string{
			"cannot go on with the stored events", "cannot go on with the stored taskstats", "cannot go on with the kept ring",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newManager(t)
			d := startAs(t, m.alter, "--source", "proc")
			d.stop()
			m.read()
			if stored := m.kept(); len(stored) != 6 {
				t.Fatalf("stored at the stop: %v, want two sockets and four descriptors of exact accounting", stored)
			}
			tt.spoil(t, d)
			d.start()
			m.read()
			if stored := sockets(m.kept()); len(stored) != 0 {
				t.Errorf("still in the store after the start: %v", stored)
			}
			for _, say := range tt.say {
				if !strings.Contains(d.said(), say) {
					t.Errorf("elsad does not say %q", say)
				}
			}
			d.ctl("group", "create", "a")
			d.ctl("run", "-g", "a", "--quiet", "--", "true")
			if u := d.usage("a").Usage; u.ProcessesEnded != 1 {
				t.Errorf("%d processes ended afterwards, want 1", u.ProcessesEnded)
			}
		})
	}
}
