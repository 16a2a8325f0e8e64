// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/client"
	"elsa/pkg/ledger"
)

// healthyHost is a machine on which all is well.
func healthyHost(t *testing.T) *host {
	t.Helper()
	h := &host{
		getent: func() error { return nil },
		root:   t.TempDir(), release: "6.1.0-18-amd64", stateDir: "/var/lib/elsa", admin: true,
		space:  func(string) (uint64, uint64, error) { return 1000, 400, nil },
		events: func(context.Context) (events, error) { return events{source: "fork"}, nil },
		owner:  func() error { return nil },
		status: func(context.Context) (client.Status, error) {
			return client.Status{
				Version: "1.2", Started: day, Groups: 1, Processes: 99, Conservation: client.StatusConservation{Ratio: 1},
				Sources: client.StatusSources{Events: "proc", Accounting: "own", Taskstats: "on", Exact: "on"},
			}, nil
		},
	}
	var config strings.Builder
	for _, o := range kernelOptions {
		config.WriteString("CONFIG_" + o.name + "=y\n")
	}
	h.put(t, "boot/config-6.1.0-18-amd64", "# a comment\n"+config.String()+"CONFIG_HZ=250\n# CONFIG_HZ_1000 is not set\n")
	h.put(t, "sys/kernel/btf/vmlinux", "x")
	h.put(t, "proc/sys/kernel/pid_max", "4194304\n")
	h.put(t, "proc/sys/kernel/acct", "4\t2\t30\n")
	h.put(t, "var/lib/elsa/elsa.db", "")
	for ns, id := range map[string]string{"pid": initial["pid"], "user": initial["user"], "net": "net:[1]"} {
		h.link(t, "proc/self/ns/"+ns, id)
	}
	h.link(t, "proc/1/ns/net", "net:[1]")
	return h
}

func (h *host) put(t *testing.T, path, text string) {
	t.Helper()
	path = filepath.Join(h.root, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func (h *host) link(t *testing.T, path, to string) {
	t.Helper()
	path = filepath.Join(h.root, path)
	os.Remove(path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(to, path)); err != nil {
		t.Fatal(err)
	}
}

func (h *host) changeStatus(f func(*client.Status)) {
	old := h.status
	h.status = func(ctx context.Context) (client.Status, error) {
		s, err := old(ctx)
		f(&s)
		return s, err
	}
}

func TestDoctor(t *testing.T) {
	t.Setenv("TZ", "UTC")
	free := func(n uint64) func(string) (uint64, uint64, error) {
		return func(string) (uint64, uint64, error) { return 1000, n, nil }
	}
	for _, tc := range []struct {
		name      string
		change    func(*testing.T, *host)
		want      []string // what is not ok
		precision string
	}{
		{name: "healthy", change: func(*testing.T, *host) {}},
		{
			name:   "old kernel",
			change: func(t *testing.T, h *host) { h.put(t, "boot/config-5.4.0", "CONFIG_HZ=100\n"); h.release = "5.4.0" },
			want: []string{"fail kernel: Linux 5.4.0 is too old", "fail options: CONFIG_PROC_EVENTS is off", "fail options: CONFIG_BSD_PROCESS_ACCT is off",
				"warn options: CONFIG_BSD_PROCESS_ACCT_V3", "warn options: CONFIG_TASKSTATS", "warn options: CONFIG_TASK_XACCT", "warn options: CONFIG_TASK_IO_ACCOUNTING",
				"warn options: CONFIG_BPF_SYSCALL", "warn options: CONFIG_DEBUG_INFO_BTF"},
			precision: "none",
		},
		{name: "no config", change: func(t *testing.T, h *host) { h.release = "6.2" }, want: []string{"warn options: the kernel's options cannot be read"}},
		{name: "no BTF", change: func(t *testing.T, h *host) { os.Remove(filepath.Join(h.root, "sys/kernel/btf/vmlinux")) },
			want: []string{"warn precision: /sys/kernel/btf/vmlinux is missing"}, precision: "sampled"},
		{name: "lockdown", change: func(t *testing.T, h *host) {
			h.put(t, "sys/kernel/security/lockdown", "none integrity [confidentiality]\n")
		}},
		{name: "no BPF", change: func(t *testing.T, h *host) {
			h.events = func(context.Context) (events, error) {
				return events{source: "proc", passed: errors.Join(errors.New("fork: no answer"), errors.New("bpf: attach: operation not permitted"))}, nil
			}
		}, want: []string{"warn events: process connector answers; rules may miss processes of some milliseconds. BPF is not to be had: attach: operation not permitted"}},
		{name: "by BPF", change: func(t *testing.T, h *host) {
			h.events = func(context.Context) (events, error) { return events{source: "bpf"}, nil }
		}},
		{name: "container", change: func(t *testing.T, h *host) { h.link(t, "proc/self/ns/pid", "pid:[4026532000]") },
			want: []string{"fail namespaces: this is not the initial pid namespace"}},
		{name: "other network", change: func(t *testing.T, h *host) { h.link(t, "proc/self/ns/net", "net:[2]") },
			want: []string{"fail namespaces: this is not the initial net namespace"}},
		{name: "no events", change: func(t *testing.T, h *host) {
			h.events = func(context.Context) (events, error) { return events{}, errors.New("no ack") }
		}, want: []string{"fail events: process events do not arrive: no ack"}},
		{name: "not root", change: func(t *testing.T, h *host) { h.admin = false }, want: []string{"warn events: not checked"}},
		{name: "few pids", change: func(t *testing.T, h *host) { h.put(t, "proc/sys/kernel/pid_max", "32768\n") }, want: []string{"warn pid_max: 32768"}},
		{name: "full disk", change: func(t *testing.T, h *host) { h.space = free(20) }, want: []string{"fail disk: 2.0 % free"}},
		{name: "nearly full disk", change: func(t *testing.T, h *host) { h.space = free(45) }, want: []string{"warn disk: 4.5 % free"}},
		{name: "accounting is another's", change: func(t *testing.T, h *host) {
			h.owner = func() error { return &ledger.ConflictError{Path: "/var/log/account/pacct"} }
			h.changeStatus(func(s *client.Status) { s.Sources.Accounting = "off" })
		}, want: []string{"warn accounting: on, by another program, to /var/log/account/pacct", "warn elsad: it runs without accounting"}},
		{name: "no elsad", change: func(t *testing.T, h *host) {
			h.status = func(context.Context) (client.Status, error) {
				return client.Status{}, &client.UnreachableError{Socket: "/s", Err: os.ErrNotExist}
			}
		}, want: []string{"fail elsad: nobody answers at /s"}},
		{name: "elsad is ill", change: func(t *testing.T, h *host) {
			h.changeStatus(func(s *client.Status) {
				s.Sources.Suspended, s.Sources.Exact, s.Events.Lost, s.Conservation.Ratio, s.BacklogBytes = true, "off: no BPF", 3, 1.2, 1<<30
				s.Sources.SuspendedCause, s.Sources.SuspendedSince = "the disk is nearly full; free some space", time.Unix(1e9, 0)
			})
		}, want: []string{"fail elsad: no accounting records come since", "warn elsad: exact CPU is off: no BPF", "warn elsad: 3 events were lost",
			"fail elsad: the bills are 120.00 %", "warn elsad: 1.0 GiB"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := healthyHost(t)
			tc.change(t, h)
			d := h.diagnose(context.Background())
			var got []string
			healthy := true
			for _, f := range d.Findings {
				if f.Level == ok {
					if f.Mend != "" {
						t.Errorf("%s is ok and has a mend", f.Check)
					}
					continue
				}
				if f.Mend == "" {
					t.Errorf("%s %q: no mend", f.Check, f.Text)
				}
				healthy = healthy && f.Level != fail
				line := string(f.Level) + " " + f.Check + ": " + f.Text
				for _, w := range tc.want { // they begin so
					if strings.HasPrefix(line, w) {
						line = w
					}
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if d.Healthy != healthy {
				t.Errorf("healthy is %v", d.Healthy)
			}
			if want := or(tc.precision, "exact"); d.Precision != want {
				t.Errorf("precision %q, want %q", d.Precision, want)
			}
		})
	}
}

// On the machine the test runs on it works as it is, and tells failure by its
// exit status: there is no elsad at that socket.
func TestDoctorHere(t *testing.T) {
	for _, format := range formats {
		var stdout, stderr strings.Builder
		began := time.Now()
		status := run([]string{"--socket", "/nonexistent/s", "doctor", "-o", format}, &stdout, &stderr)
		if status != 1 || stderr.String() != "" || !strings.Contains(stdout.String(), "nobody answers at /nonexistent/s") {
			t.Errorf("-o %s: status %d, stdout %q, stderr %q", format, status, stdout.String(), stderr.String())
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
	}
}
