// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	stdbytes "bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/feed"
	"elsa/internal/nss"
	"elsa/pkg/client"
	"elsa/pkg/ledger"
	"elsa/pkg/tracepoint"
)

// host is the machine that doctor looks at. The functions are what cannot be
// read from files.
type host struct {
	root     string // of the file system
	release  string // of the kernel
	stateDir string
	admin    bool // may subscribe to process events

	space  func(path string) (total, free uint64, err error)
	events func(context.Context) (events, error)
	owner  func() error
	getent func() error
	status func(context.Context) (client.Status, error)

	found  []finding
	config map[string]string // of the kernel; nil if it is not to be read
}

func thisHost(socket, stateDir string) *host {
	var u unix.Utsname
	unix.Uname(&u)
	return &host{
		root: "/", release: unix.ByteSliceToString(u.Release[:]), stateDir: stateDir, admin: effective(unix.CAP_NET_ADMIN),
		space: func(path string) (uint64, uint64, error) {
			var s unix.Statfs_t
			err := unix.Statfs(path, &s)
			return s.Blocks, s.Bavail, err
		},
		events: tryEvents,
		owner:  ledger.Owner,
		getent: nss.Asks,
		status: func(ctx context.Context) (client.Status, error) { return client.New(socket).Status(ctx) },
	}
}

// events are the source that elsad would take, and why none before it.
type events struct {
	source string
	passed error
	// guarded: the kernel leaves out what happens on top of process 1.
	guarded bool
}

func tryEvents(ctx context.Context) (events, error) {
	f, err := feed.Open(ctx, feed.Options{Exact: feed.Off, Buffer: 1 << 20})
	if err != nil {
		return events{}, err
	}
	err = f.Close()
	e := events{source: f.Source().String(), passed: f.Passed}
	e.guarded = e.source == "bpf" && tracepoint.Guarded()
	return e, err
}

// effective reports whether this process has a capability.
func effective(capability int) bool {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if hex, is := strings.CutPrefix(line, "CapEff:"); is {
			n, _ := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return n>>capability&1 != 0
		}
	}
	return false
}

func (h *host) add(check string, l level, mend, format string, args ...any) {
	h.found = append(h.found, finding{Check: check, Level: l, Text: fmt.Sprintf(format, args...), Mend: mend})
}

func (h *host) read(path string) string {
	b, _ := os.ReadFile(filepath.Join(h.root, path))
	return strings.TrimSpace(string(b))
}

// diagnose makes every check.
func (h *host) diagnose(ctx context.Context) diagnosis {
	h.config = h.kernelConfig()
	h.kernel()
	h.namespaces()
	h.processEvents(ctx)
	precision := h.precision()
	h.tick()
	h.pids()
	st, err := h.status(ctx)
	h.accounting(err == nil && st.Sources.Accounting == "own", st.Sources.Accounting)
	h.disk()
	h.names(st)
	h.service(st, err)
	d := diagnosis{Healthy: true, Precision: precision, Findings: h.found}
	for _, f := range h.found {
		d.Healthy = d.Healthy && f.Level != fail
	}
	return d
}

// kernelConfig reads the options the kernel was built with.
func (h *host) kernelConfig() map[string]string {
	for _, name := range []string{"proc/config.gz", "boot/config-" + h.release, "lib/modules/" + h.release + "/config"} {
		b, err := os.ReadFile(filepath.Join(h.root, name))
		if err != nil {
			continue
		}
		var r io.Reader = stdbytes.NewReader(b)
		if strings.HasSuffix(name, ".gz") {
			if r, err = gzip.NewReader(r); err != nil {
				continue
			}
		}
		config := map[string]string{}
		for lines := bufio.NewScanner(r); lines.Scan(); {
			if key, value, set := strings.Cut(lines.Text(), "="); set {
				config[key] = value
			}
		}
		return config
	}
	return nil
}

// kernelOptions are what is needed of the kernel, and what for.
var kernelOptions = []struct {
	name  string
	level level // when it is missing
	what  string
}{
	{"PROC_EVENTS", fail, "no fork can be followed"},
	{"BSD_PROCESS_ACCT", fail, "no process is accounted for when it ends"},
	{"BSD_PROCESS_ACCT_V3", warn, "records lack the parent: processes that came and went unseen are unattributed"},
	{"TASKSTATS", warn, "no I/O and memory of processes without an exact record, and CPU rounded to 10 ms"},
	{"TASK_XACCT", warn, "taskstats has no memory and I/O"},
	{"TASK_IO_ACCOUNTING", warn, "nothing is known of what goes to storage"},
	{"BPF_SYSCALL", warn, "no exact CPU time"},
	{"DEBUG_INFO_BTF", warn, "no exact CPU time"},
}

func (h *host) kernel() {
	var major, minor int
	fmt.Sscanf(h.release, "%d.%d", &major, &minor)
	switch {
	case major < 5 || major == 5 && minor < 8:
		h.add("kernel", fail, "use Linux 5.8 or later", "Linux %s is too old", h.release)
	default:
		h.add("kernel", ok, "", "Linux %s", h.release)
	}
	if h.config == nil {
		h.add("options", warn, "look whether /boot/config-"+h.release+" or /proc/config.gz is there", "the kernel's options cannot be read; the checks below show what works")
		return
	}
	missing := false
	for _, o := range kernelOptions {
		if v := h.config["CONFIG_"+o.name]; v != "y" && v != "m" {
			missing = true
			h.add("options", o.level, "use a kernel with CONFIG_"+o.name+"=y; those of Debian, Ubuntu, Fedora and RHEL have it", "CONFIG_%s is off: %s", o.name, o.what)
		}
	}
	if !missing {
		h.add("options", ok, "", "all %d that are used are on", len(kernelOptions))
	}
}

// The numbers of the initial namespaces, include/linux/proc_ns.h. The network
// namespace has none that is fixed: that of process 1 is taken for it.
var initial = map[string]string{"pid": "pid:[4026531836]", "user": "user:[4026531837]"}

func (h *host) namespaces() {
	for _, ns := range []string{"pid", "user", "net"} {
		own, err := os.Readlink(filepath.Join(h.root, "proc/self/ns", ns))
		if err != nil {
			h.add("namespaces", warn, "", "the %s namespace cannot be read: %v", ns, errors.Unwrap(err))
			continue
		}
		want := initial[ns]
		if ns == "net" {
			if want, err = os.Readlink(filepath.Join(h.root, "proc/1/ns/net")); err != nil {
				continue // not for us to see; the check of events shows it
			}
		}
		if own != want {
			h.add("namespaces", fail, "run elsad on the host, or in a container with the host's "+ns+" namespace", "this is not the initial %s namespace: no process events arrive", ns)
			return
		}
	}
	h.add("namespaces", ok, "", "initial pid, user and network namespace")
}

func (h *host) processEvents(ctx context.Context) {
	if !h.admin {
		h.add("events", warn, "run elsactl doctor as root", "not checked: that takes CAP_NET_ADMIN")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	e, err := h.events(ctx)
	if err != nil {
		h.add("events", fail, "see the findings above; elsad needs a kernel with CONFIG_DEBUG_INFO_BTF or CONFIG_PROC_EVENTS, the initial namespaces, and CAP_BPF and CAP_PERFMON or CAP_NET_ADMIN", "process events do not arrive: %v", err)
		return
	}
	switch e.source {
	case "fork":
		h.add("events", ok, "", "fork connector (patched kernel) answers: processes, in order; rules look in /proc")
	case "bpf":
		h.add("events", ok, "", "BPF tells of forks, execs and ends, and at exec what rules ask for; the fork connector does not answer (this kernel has no patch)")
		if e.guarded {
			h.add("events", ok, "", "this kernel runs no BPF program on top of process 1: some exact records are left out, and taskstats fills in")
		}
	default:
		h.add("events", warn, "run it with CAP_BPF and CAP_PERFMON on a kernel with CONFIG_DEBUG_INFO_BTF", "process connector answers; rules may miss processes of some milliseconds. BPF is not to be had: %s", lineOf(e.passed, "bpf: "))
	}
	if strings.Contains(h.read("sys/kernel/security/lockdown"), "[confidentiality]") {
		h.add("lockdown", ok, "", "confidentiality: BPF may not read the memory of programs, so rules see no arguments by it; events and exact CPU work")
	}
}

// lineOf is the line of an error that begins with a word, without it.
func lineOf(err error, word string) string {
	for line := range strings.Lines(fmt.Sprint(err)) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), word); ok {
			return text
		}
	}
	return "unknown"
}

// precision finds out how well CPU time will be known.
func (h *host) precision() string {
	have := func(option string) bool { return h.config == nil || h.config["CONFIG_"+option] == "y" }
	_, err := os.Stat(filepath.Join(h.root, "sys/kernel/btf/vmlinux"))
	switch {
	case !have("BSD_PROCESS_ACCT"):
		return "none"
	case err == nil && have("BPF_SYSCALL"):
		h.add("precision", ok, "", "exact: BPF and the kernel's BTF are there")
		return "exact"
	case err != nil:
		h.add("precision", warn, "use a kernel with CONFIG_DEBUG_INFO_BTF=y if CPU time is to be exact", "/sys/kernel/btf/vmlinux is missing")
	}
	if have("TASKSTATS") {
		return "sampled"
	}
	return "rounded"
}

func (h *host) tick() {
	hz, err := strconv.Atoi(h.config["CONFIG_HZ"])
	if err != nil || hz <= 0 {
		return
	}
	if h.config["CONFIG_VIRT_CPU_ACCOUNTING_GEN"] == "y" && strings.Contains(h.read("proc/cmdline"), "nohz_full=") {
		h.add("tick", ok, "", "%d Hz, and none on the CPUs of nohz_full, where times are measured", hz)
		return
	}
	h.add("tick", ok, "", "%d Hz: a sampled time is a multiple of %v", hz, time.Second/time.Duration(hz))
}

func (h *host) pids() {
	n, err := strconv.Atoi(h.read("proc/sys/kernel/pid_max"))
	switch {
	case err != nil:
		return
	case n <= 32768:
		h.add("pid_max", warn, "sysctl kernel.pid_max=4194304", "%d: process ids are soon used again, which makes it harder to tell processes apart", n)
	default:
		h.add("pid_max", ok, "", "%d", n)
	}
}

func (h *host) accounting(own bool, how string) {
	err := h.owner()
	var conflict *ledger.ConflictError
	switch {
	case own:
		h.add("accounting", ok, "", "on, and elsad's own")
	case strings.HasPrefix(how, "follow:"):
		h.add("accounting", ok, "", "another's: elsad reads %s", strings.TrimPrefix(how, "follow:"))
	case errors.As(err, &conflict):
		mend := "stop that program (or switch accounting off: accton off), or let elsad read its file: --acct follow:FILE"
		if conflict.Path != "" {
			mend = "stop that program (or switch accounting off: accton off), or start elsad with --acct follow:" + conflict.Path
			if strings.Contains(conflict.Path, "/elsa/pacct/") {
				h.add("accounting", ok, "", "on: an elsad writes to %s", conflict.Path)
				return
			}
		}
		h.add("accounting", warn, mend, "on, by %s, to %s", or(conflict.Name, "another program"), or(conflict.Path, "a file that is none of the usual"))
	case err != nil:
		h.add("accounting", warn, "", "cannot find out who owns it: %v", err)
	default:
		h.add("accounting", ok, "", "off, and free for elsad to take")
	}
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// disk compares the free space with what kernel.acct wants.
func (h *host) disk() {
	path := filepath.Join(h.root, h.stateDir)
	for {
		if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) || path == "/" {
			break
		}
		path = filepath.Dir(path)
	}
	total, free, err := h.space(path)
	if err != nil || total == 0 {
		h.add("disk", warn, "", "the space for %s is not known: %v", h.stateDir, err)
		return
	}
	var resume, suspend, every float64
	fmt.Sscan(h.read("proc/sys/kernel/acct"), &resume, &suspend, &every)
	percent := 100 * float64(free) / float64(total)
	switch {
	case percent <= suspend:
		h.add("disk", fail, "free some space on the file system of "+h.stateDir, "%.1f %% free: below %g %% the kernel suspends accounting (kernel.acct)", percent, suspend)
	case percent <= resume+1:
		h.add("disk", warn, "free some space on the file system of "+h.stateDir, "%.1f %% free: at %g %% the kernel suspends accounting (kernel.acct)", percent, suspend)
	default:
		h.add("disk", ok, "", "%.0f %% free; the kernel suspends accounting at %g %%", percent, suspend)
	}
}
