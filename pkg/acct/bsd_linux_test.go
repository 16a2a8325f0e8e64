// SPDX-License-Identifier: Apache-2.0

package acct_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
	"elsa/pkg/acct"
	"elsa/pkg/ledger"
)

var update = flag.Bool("update", false, "record testdata from the running kernel")

func TestMain(m *testing.M) { kerneltest.Main(m, nil) }

// TestKernelBSD ends processes of known behaviour under accounting and reads
// their lines. With -update it keeps the lines in testdata/bsd_v3.hex, for
// TestDecodeBSDRecorded.
func TestKernelBSD(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root, kerneltest.InitNamespaces, kerneltest.BSDAcct)
	kerneltest.LockAccounting(t)
	path := filepath.Join(t.TempDir(), "pacct")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ledger.SwitchOn(path); err != nil {
		t.Fatal(err)
	}
	var names []string
	want := make(map[string]acct.Record)
	add := func(name string, pid int, r acct.Record) {
		r.PID = int32(pid)
		names = append(names, name)
		want[name] = r
	}
	spawn := func(name string, r acct.Record, role string, args ...string) {
		c := kerneltest.Spawn(t, role, args...)
		if role == "wait" {
			if err := unix.Kill(c.PID, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		c.Wait()
		add(name, c.PID, r)
	}
	began := time.Now().Unix()
	spawn("exit 7", acct.Record{ExitCode: 0x700}, "exit", "7")
	spawn("SIGKILL", acct.Record{ExitCode: 9}, "wait")
	spawn("burn 250ms", acct.Record{}, "burn", "250ms")
	spawn("setuid", acct.Record{UID: 65534, GID: 65533}, "nobody")
	spawn("exec from a thread", acct.Record{}, "execthread")
	pid, err := kerneltest.Fork()
	if err != nil {
		t.Fatal(err)
	}
	add("fork", pid, acct.Record{Flags: acct.FlagFork})
	if err := ledger.SwitchOff(); err != nil {
		t.Fatal(err)
	}
	add("living caller", os.Getpid(), acct.Record{})

	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(file)%acct.BSDSize != 0 {
		t.Errorf("%d bytes of accounting, want a multiple of %d", len(file), acct.BSDSize)
	}
	lines := make(map[int32][]byte)
	for b := file; len(b) >= acct.BSDSize; b = b[acct.BSDSize:] {
		var r acct.Record
		if err := acct.DecodeBSD(b, &r); err != nil {
			t.Fatalf("%x: %v", b[:acct.BSDSize], err)
		}
		lines[r.PID] = b[:acct.BSDSize]
	}
	out := fmt.Sprintf("# struct acct_v3 lines, recorded by TestKernelBSD -update on %s\n", kerneltest.KernelName(t))
	for _, name := range names {
		want := want[name]
		line := lines[want.PID]
		if line == nil {
			t.Errorf("%s: no line", name)
			continue
		}
		out += fmt.Sprintf("%x # %s\n", line, name)
		var got acct.Record
		if err := acct.DecodeBSD(line, &got); err != nil {
			t.Fatal(err)
		}
		if name == "living caller" {
			if !acct.IsCaller((*[acct.BSDSize]byte)(line)) || got.PPID != int32(os.Getppid()) || got.ExitCode != 0 {
				t.Errorf("%s: %+v", name, got)
			}
			continue
		}
		if acct.IsCaller((*[acct.BSDSize]byte)(line)) {
			t.Errorf("%s: taken for a living caller", name)
		}
		// AXSIG is no use: whoever ends with threads left has it, because the
		// kernel kills those.
		if got.ExitCode != want.ExitCode || got.UID != want.UID || got.GID != want.GID || got.Flags&acct.FlagFork != want.Flags {
			t.Errorf("%s: exit %#x uid %d gid %d flags %#x; want %#x %d %d %#x", name,
				got.ExitCode, got.UID, got.GID, got.Flags&acct.FlagFork, want.ExitCode, want.UID, want.GID, want.Flags)
		}
		if got.PPID != int32(os.Getpid()) {
			t.Errorf("%s: ppid %d, want %d", name, got.PPID, os.Getpid())
		}
		if now := time.Now().Unix(); got.Begin < began-1 || got.Begin > now+1 {
			t.Errorf("%s: began at %d, want %d..%d", name, got.Begin, began, now)
		}
		if name == "burn 250ms" && (got.CPU < 200*time.Millisecond || got.Elapsed < 240*time.Millisecond) {
			t.Errorf("%s: CPU %v, elapsed %v", name, got.CPU, got.Elapsed)
		}
		if c := got.Command(); c == "" || strings.ContainsRune(c, 0) {
			t.Errorf("%s: command %q", name, c)
		}
	}
	if *update && !t.Failed() {
		if err := os.WriteFile("testdata/bsd_v3.hex", []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
