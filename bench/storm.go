// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"elsa/pkg/proc"
	"elsa/test/workload"
)

func (b *bench) buildWorkload() (err error) {
	b.workload, err = workload.Compile(b.ctx)
	return err
}

// program is something that runs beside a load.
type program struct {
	cmd     *exec.Cmd
	sampler *proc.Sampler
}

// start runs a program whose standard output goes nowhere and waits until it
// says ready on standard error, or if that is empty for a moment.
func (b *bench) start(ready string, name string, args ...string) (*program, error) {
	cmd := exec.Command(name, args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &program{cmd, proc.Default.NewSampler()}
	b.running = append(b.running, p)
	if ready == "" {
		time.Sleep(time.Second / 2)
		return p, nil
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if strings.Contains(lines.Text(), ready) {
			go func() {
				for lines.Scan() {
				}
			}()
			return p, nil
		}
	}
	return nil, fmt.Errorf("%s ended before it was ready: %v: %s", name, cmd.Wait(), lines.Text())
}

func (b *bench) elsad(args ...string) (*program, error) {
	state, err := os.MkdirTemp(b.dir, "state")
	if err != nil {
		return nil, err
	}
	return b.start("msg=ready", filepath.Join(b.bin, "elsad"), append([]string{
		"--state-dir", state, "--socket", filepath.Join(state, "sock"), "--web.listen-address", "127.0.0.1:0"}, args...)...)
}

// stop ends the program in order.
func (p *program) stop() error {
	p.cmd.Process.Signal(unix.SIGTERM)
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ProcessState.Sys().(unixStatus).Signaled() {
		return nil // by us
	}
	return err
}

type unixStatus interface{ Signaled() bool }

// cpu is what the program used so far.
func (p *program) cpu() (time.Duration, error) {
	var s proc.Sample
	pid := int32(p.cmd.Process.Pid)
	me, err := proc.Default.Process(pid)
	if err == nil {
		err = p.sampler.Sample(pid, me.Start, &s, false)
	}
	return s.CPU, err
}

func (p *program) rss() (kb int64) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			kb, _ = strconv.ParseInt(f[1], 10, 64)
		}
	}
	return kb
}

// load runs the workload and returns its wall time and its CPU.
func (b *bench) load(args ...string) (wall, cpu time.Duration, err error) {
	cmd := exec.CommandContext(b.ctx, b.workload, args...)
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, 0, err
	}
	return time.Since(began), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// storm compares the CPU for one fork+exit pair under a storm: elsad with all
// stages on, forkstat that prints the events to nowhere, and the kernel's own
// cost of a listener that reads nothing.
func (b *bench) storm() error {
	n := strconv.Itoa(b.forks)
	pair := func(start func() (*program, error)) (own, load float64, err error) {
		p, err := start()
		if err != nil {
			return 0, 0, err
		}
		before, err := p.cpu()
		if err != nil {
			return 0, 0, err
		}
		_, cpu, err := b.load("storm", n, "2")
		if err != nil {
			return 0, 0, err
		}
		time.Sleep(1200 * time.Millisecond) // the commit that follows
		after, err := p.cpu()
		if err != nil {
			return 0, 0, err
		}
		forks := float64(b.forks)
		return float64((after - before).Nanoseconds()) / forks / 1e3, float64(cpu.Nanoseconds()) / forks / 1e3, p.stop()
	}
	var ours, theirs, kernel, bare []float64
	for range b.rounds {
		_, cpu, err := b.load("storm", n, "2")
		if err != nil {
			return err
		}
		bare = append(bare, float64(cpu.Nanoseconds())/float64(b.forks)/1e3)
		_, with, err := pair(func() (*program, error) { return b.start("listening", os.Args[0], "-listen") })
		if err != nil {
			return err
		}
		kernel = append(kernel, with)
		own, _, err := pair(func() (*program, error) { return b.elsad() })
		if err != nil {
			return err
		}
		ours = append(ours, own)
		if _, err := exec.LookPath("forkstat"); err != nil {
			continue
		}
		own, _, err = pair(func() (*program, error) { return b.start("", "forkstat", "-e", "fork,exit") })
		if err != nil {
			return err
		}
		theirs = append(theirs, own)
	}
	r := row{what: "CPU of elsad for a fork+exit pair, all stages on", ours: micro(ours), peer: "forkstat: not installed", limit: "≤ 0.5"}
	if len(theirs) > 0 {
		ratio := median(ours) / median(theirs)
		r.peer, r.ratio, r.ok = "forkstat printing: "+micro(theirs), fmt.Sprintf("%.2f", ratio), ratio <= 0.5
	}
	b.rows = append(b.rows, r, row{
		what: "the kernel alone: a pair with a listener that reads nothing", ours: micro(kernel),
		peer: "no listener: " + micro(bare), ratio: fmt.Sprintf("%.2f", median(kernel)/median(bare)),
	})
	return nil
}

func micro(v []float64) string { return fmt.Sprintf("%.2f ± %.2f µs", median(v), spread(v)) }

// slowdown compares a load of thousands of short processes, as a build is, with
// nothing on, a bare listener, and one stage of elsad more at a time.
func (b *bench) slowdown() error {
	setups := []struct {
		name  string
		start func() (*program, error)
	}{
		{"nothing", nil},
		{"a bare listener (the base of the ratios)", func() (*program, error) { return b.start("listening", os.Args[0], "-listen") }},
		{"elsad, events alone", func() (*program, error) { return b.elsad("--acct", "off", "--taskstats", "off", "--exact", "off") }},
		{"accounting too", func() (*program, error) { return b.elsad("--taskstats", "off", "--exact", "off") }},
		{"taskstats too", func() (*program, error) { return b.elsad("--exact", "off") }},
		{"the BPF record too", func() (*program, error) { return b.elsad() }},
	}
	walls, cpus := make([][]float64, len(setups)), make([][]float64, len(setups))
	for range b.rounds {
		for i, s := range setups {
			var p *program
			if s.start != nil {
				var err error
				if p, err = s.start(); err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
			}
			wall, cpu, err := b.load("shell", "600")
			if err != nil {
				return err
			}
			if p != nil {
				if err := p.stop(); err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
			}
			walls[i], cpus[i] = append(walls[i], wall.Seconds()), append(cpus[i], cpu.Seconds())
		}
	}
	for i, s := range setups {
		// Each round against its own listener: what else the machine does
		// changes more between the rounds than within one.
		var ratios []float64
		for r := range walls[i] {
			ratios = append(ratios, walls[i][r]/walls[1][r])
		}
		r := row{
			what:  "a build of 1,200 short processes, with " + s.name,
			ours:  fmt.Sprintf("%.3f ± %.3f s", median(walls[i]), spread(walls[i])),
			peer:  fmt.Sprintf("its own CPU: %.3f s", median(cpus[i])),
			ratio: fmt.Sprintf("%.3f ± %.3f", median(ratios), spread(ratios)),
		}
		if i > 1 {
			r.limit, r.ok = "≤ 1.02", median(ratios) <= 1.02
		}
		b.rows = append(b.rows, r)
	}
	return nil
}

// idle is what elsad costs on a machine on which nothing happens.
func (b *bench) idle() error {
	p, err := b.elsad()
	if err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	before, err := p.cpu()
	if err != nil {
		return err
	}
	const window = 10 * time.Second
	time.Sleep(window)
	after, err := p.cpu()
	if err != nil {
		return err
	}
	rss := p.rss()
	if err := p.stop(); err != nil {
		return err
	}
	share := float64(after-before) / float64(window) * 100
	b.rows = append(b.rows,
		row{what: "idle: CPU", ours: fmt.Sprintf("%.3f %% of a core", share), limit: "< 0.1 %", ok: share < 0.1},
		row{what: "idle: resident memory", ours: fmt.Sprintf("%.1f MiB", float64(rss)/1024), limit: "≤ 30 MiB", ok: rss <= 30<<10})
	return nil
}

// listen subscribes to events and reads none.
func listen() {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM, unix.NETLINK_CONNECTOR)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1})
	}
	if err == nil {
		// nlmsghdr, cn_msg {CN_IDX_PROC, CN_VAL_PROC}, PROC_CN_MCAST_LISTEN
		err = unix.Sendto(fd, []byte{
			40, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
			1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0,
		}, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: listen:", err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, "listening")
	unix.Pause()
}
