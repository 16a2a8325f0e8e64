// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
	"elsa/internal/pipeline"
	"elsa/pkg/api"
)

// secret is the command of processes of root, in groups of root alone.
const secret = "s3cretcommand"

// target is a service behind a socket, with a process of root in a group of root.
type target struct {
	service *Service
	socket  string
	pid     int
	longest atomic.Int64 // that the pipeline let somebody wait, in nanoseconds
}

func newTarget(t testing.TB) *target {
	t.Helper()
	kerneltest.Need(t, kerneltest.Root, kerneltest.InitNamespaces)
	dir := t.TempDir()
	for p := dir; p != os.TempDir() && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(filepath.Join(dir, secret), "100000")
	sleep, err := exec.LookPath("sleep")
	if err == nil {
		err = os.Symlink(sleep, cmd.Path)
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	s, _ := newService(t, "match: all\nlist: [{group: 'r/{{.Command}}', command: 'nothing*'}]")
	s.create(t, root, "secret")
	if _, err := s.AddMembers(t.Context(), root, "secret", api.AddRequest{PIDs: []int{cmd.Process.Pid}}); err != nil {
		t.Fatal(err)
	}
	a := &target{service: s, socket: filepath.Join(dir, "s"), pid: cmd.Process.Pid}
	l, err := api.Listen(a.socket)
	if err != nil {
		t.Fatal(err)
	}
	l.Refused = s.Refused
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- api.Serve(ctx, l, s, slog.New(slog.DiscardHandler)) }()
	go a.watch(ctx)
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return a
}

// watch notes how long the pipeline lets somebody wait.
func (a *target) watch(ctx context.Context) {
	for ctx.Err() == nil {
		begin := time.Now()
		a.service.Pipeline.Do(ctx, func(pipeline.Turn) error { return nil })
		if took := int64(time.Since(begin)); took > a.longest.Load() {
			a.longest.Store(took)
		}
		time.Sleep(time.Millisecond) // sleep: between two looks
	}
}

// dial connects as a user. The kernel notes who connects by the thread's ids.
func (a *target) dial(uid int) (c net.Conn, err error) {
	if uid == 0 {
		return net.Dial("unix", a.socket)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlock: the thread ends with its ids
		groups := []uint32{}
		unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), 0, 0)
		unix.RawSyscall(unix.SYS_SETRESGID, uintptr(uid), uintptr(uid), uintptr(uid))
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
			err = errno
			return
		}
		fd, e := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if e == nil {
			e = unix.Connect(fd, &unix.SockaddrUnix{Name: a.socket})
		}
		if err = e; e != nil {
			return
		}
		f := os.NewFile(uintptr(fd), "socket")
		defer f.Close()
		c, err = net.FileConn(f)
	}()
	<-done
	return c, err
}

// send sends bytes as a user and checks the laws of what comes.
func (a *target) send(t *testing.T, uid int, raw []byte) {
	t.Helper()
	c, err := a.dial(uid)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	c.Write(raw) // it may be refused before its end
	c.(*net.UnixConn).CloseWrite()
	answer, _ := io.ReadAll(io.LimitReader(c, 4<<20))
	if len(answer) > 12 && bytes.HasPrefix(answer, []byte("HTTP/1.1 ")) {
		switch code, _ := strconv.Atoi(string(answer[9:12])); {
		case code >= 500 && code != http.StatusServiceUnavailable && code != http.StatusNotImplemented && code != http.StatusHTTPVersionNotSupported:
			t.Errorf("%.300q answers %.300q", raw, answer)
		case code == http.StatusNotImplemented && !bytes.Contains(bytes.ToLower(raw), []byte("transfer-encoding")):
			t.Errorf("%.300q answers %.300q", raw, answer)
		}
	}
	if uid == 0 {
		return
	}
	if i := bytes.Index(answer, []byte(secret)); i >= 0 && !bytes.Contains(raw, []byte(secret)) {
		t.Errorf("%.300q shows the command of another's process: %.300q", raw, answer[max(0, i-200):])
	}
	g, err := a.service.Group(t.Context(), root, "secret")
	if err != nil || g.State != "open" || len(g.Members) != 1 || g.Members[0].PID != a.pid || len(g.Members[0].Groups) != 1 {
		t.Errorf("after %.300q the group of root is %+v, %v", raw, g, err)
	}
}

// seeds are requests to begin with; PID is that of the process of root.
var seeds = []string{
	"GET /v1/groups HTTP/1.1\r\nHost: x\r\n\r\n",
	"POST /v1/groups HTTP/1.1\r\nHost: x\r\nContent-Length: 27\r\n\r\n{\"name\":\"a\",\"labels\":{\"a\":\"b\"}}",
	"POST /v1/groups HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\n{\"name\":\"r/x\",\"temporary\":true}",
	"GET /v1/groups/secret HTTP/1.1\r\nHost: x\r\n\r\n",
	"DELETE /v1/groups/secret HTTP/1.1\r\nHost: x\r\n\r\n",
	"POST /v1/groups/secret/close HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
	"POST /v1/groups/secret/members/remove HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\n{\"pids\":[PID]}",
	"POST /v1/groups/a/members HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{\"pids\":[PID,1,1],\"tree\":true,\"move\":true,\"whole_life\":true}",
	"POST /v1/join HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\n\r\n{\"group\":\"secret\"}",
	"POST /v1/join HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
	"GET /v1/usage?group=secret&group=a&wait=false HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /v1/report?by=command&group=secret&since=2020-01-01T00:00:00Z HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /v1/report?by=user&until=0001-01-01T00:00:00Z HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /v1/report?by=hour HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /v1/explain?pid=PID HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /v1/rules/try?pid=PID HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n",
	"HEAD /v1/backup HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/groups HTTP/1.1\r\nHost: x\r\n\r\n",
	"POST /v1/groups HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}\r\n0\r\n\r\n",
}

func (a *target) seed(i int) string {
	return strings.ReplaceAll(seeds[i%len(seeds)], "PID", strconv.Itoa(a.pid))
}

// FuzzServiceAsNobody sends whatever an ordinary user may send to a service with the
// running machine behind it. It never fails with 500 and never ends, shows nothing of
// others' processes, and changes nothing of root's groups.
func FuzzServiceAsNobody(f *testing.F) { fuzzService(f, 65534) }

// FuzzServiceAsRoot does so as root, who may do what he likes, but not break it.
func FuzzServiceAsRoot(f *testing.F) { fuzzService(f, 0) }

func fuzzService(f *testing.F, uid int) {
	a := newTarget(f)
	for i := range seeds {
		f.Add([]byte(a.seed(i)))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { a.send(t, uid, raw) })
}

// TestServiceRandomRequests mixes requests at random, as an ordinary user and as
// root, and nobody waits long for the pipeline meanwhile.
func TestServiceRandomRequests(t *testing.T) {
	a := newTarget(t)
	n := 600
	if s := os.Getenv("ELSA_SOAK"); s != "" {
		n = 20000
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		raw := []byte(a.seed(random.IntN(len(seeds))))
		if head, body, ok := strings.Cut(string(raw), "\r\n\r\n"); ok && body != "" && random.IntN(2) == 0 {
			body = mutate(random, body)
			lines := strings.Split(head, "\r\n")
			for j, l := range lines {
				if strings.HasPrefix(l, "Content-Length") {
					lines[j] = fmt.Sprintf("Content-Length: %d", len(body))
				}
			}
			raw = []byte(strings.Join(lines, "\r\n") + "\r\n\r\n" + body)
		} else if random.IntN(2) == 0 {
			raw = []byte(mutate(random, string(raw)))
		}
		uid := 65534
		if i%5 == 4 && !strings.Contains(string(raw), "secret") {
			uid = 0
		}
		a.send(t, uid, raw)
		if t.Failed() {
			t.FailNow()
		}
	}
	if longest := time.Duration(a.longest.Load()); longest > time.Second {
		t.Errorf("the pipeline let somebody wait %v", longest)
	} else {
		t.Logf("%d requests; the pipeline let somebody wait %v at most", n, longest)
	}
}

// mutate changes a text here and there.
func mutate(random *rand.Rand, s string) string {
	b := []byte(s)
	for range 1 + random.IntN(3) {
		at := random.IntN(len(b))
		switch random.IntN(5) {
		case 0:
			b[at] = byte(random.IntN(256))
		case 1:
			b = append(b[:at:at], b[min(len(b), at+1+random.IntN(8)):]...)
		case 2:
			b = append(b[:at:at], append(bytes.Repeat(b[at:at+1], random.IntN(3000)), b[at:]...)...)
		case 3:
			words := []string{"-1", "1e9", "null", "\"\"", "[[", "18446744073709551616", "true", "\\ud800", "%00", "..", "wait=true", "&", "{"}
			b = append(b[:at:at], append([]byte(words[random.IntN(len(words))]), b[at:]...)...)
		default:
			other := seeds[random.IntN(len(seeds))]
			b = append(b[:at:at], other[random.IntN(len(other)):]...)
		}
		if len(b) == 0 {
			return "x"
		}
	}
	return string(b)
}
