// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
	"elsa/pkg/acct"
)

// A long backlog is replayed with progress on a terminal and in bounded memory,
// and systemd is asked for patience before the service is ready.
func TestKernelReplayProgress(t *testing.T) {
	needKernel(t)
	kerneltest.Need(t, kerneltest.PseudoTerminal)
	d := start(t)
	d.kill()
	const lines = 4_000_000
	segments, _ := filepath.Glob(filepath.Join(d.dir, "state/pacct/*.acct"))
	if len(segments) == 0 {
		t.Fatal("there is no accounting segment")
	}
	f, err := os.OpenFile(slices.Max(segments), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	var chunk []byte
	began := time.Now().Unix() - 60
	for i := range 10_000 {
		chunk = acct.AppendBSD(chunk, &acct.Record{PID: int32(4_000_000 + i), PPID: 1, Begin: began, Elapsed: time.Millisecond, Comm: [16]byte{'x'}})
	}
	for range lines / 10_000 {
		if _, err := f.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()

	notify := filepath.Join(d.dir, "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	master, slave, err := kerneltest.OpenTerminal()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	cmd := exec.Command(filepath.Join(bin, "elsad"), "--state-dir", filepath.Join(d.dir, "state"), "--socket", d.socket(), "--web.listen-address", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+notify)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	shown := make(chan string, 1)
	go func() {
		var b bytes.Buffer
		io.Copy(&b, master) // ends when nobody has the terminal any more
		shown <- b.String()
	}()
	var said []string
	for msg, ready := make([]byte, 4096), false; !ready; {
		socket.SetReadDeadline(time.Now().Add(60 * time.Second))
		n, err := socket.Read(msg)
		if err != nil {
			t.Errorf("elsad is not ready: %v", err)
			break
		}
		said = append(said, string(msg[:n]))
		ready = strings.Contains(string(msg[:n]), "READY=1")
	}
	if st := d.status(); st.Records.BSD < lines {
		t.Errorf("%d lines replayed, want %d", st.Records.BSD, lines)
	}
	cmd.Process.Signal(unix.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("elsad ended: %v", err)
	}
	if peak := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss >> 10; peak > 500 {
		t.Errorf("the replay took %d MiB of memory", peak)
	}
	if len(said) == 0 || !strings.Contains(said[0], "STATUS=Replaying accounting: 0 of 244 MiB") || !strings.Contains(said[0], "EXTEND_TIMEOUT_USEC=") {
		t.Errorf("systemd was told first %q", said)
	}
	text := <-shown
	if n := strings.Count(text, "\r\x1b[Kelsad: replaying accounting, "); n < 2 || !strings.Contains(text, " of 244 MiB (") {
		t.Errorf("the terminal saw %d progress lines:\n%q", n, text)
	}
	if !strings.Contains(text, "msg=ready") || strings.Contains(text, "msg=ready\r\x1b[Kelsad: replaying") {
		t.Errorf("the terminal saw %q", text)
	}
}
