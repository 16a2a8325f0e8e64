// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"elsa/pkg/client"
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
	said    string // the line by which it was ready
	socket  string // of an elsad
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
	p := &program{cmd: cmd, sampler: proc.Default.NewSampler()}
	b.running = append(b.running, p)
	if ready == "" {
		time.Sleep(time.Second / 2)
		return p, nil
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if strings.Contains(lines.Text(), ready) {
			p.said = lines.Text()
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
	socket := filepath.Join(state, "sock")
	p, err := b.start("msg=ready", filepath.Join(b.bin, "elsad"), append([]string{
		"--state-dir", state, "--socket", socket, "--web.listen-address", "127.0.0.1:0"}, args...)...)
	if err == nil {
		p.socket = socket
	}
	return p, err
}

// lost is how much of what the kernel said an elsad has missed: events,
// taskstats and exact records.
func (p *program) lost(ctx context.Context) (uint64, error) {
	c := client.New(p.socket)
	defer c.Close()
	st, err := c.Status(ctx)
	return st.Events.Lost + st.Records.TaskstatsLost + st.Records.ExactLost, err
}

// stop ends the program in order.
func (p *program) stop() error {
	p.cmd.Process.Signal(unix.SIGTERM)
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && (exit.ProcessState.Sys().(unixStatus).Signaled() || exit.ExitCode() == int(unix.SIGTERM)) {
		return nil // by us; the second is atop's way to say it
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

// pair is the CPU of a program, and that of the load, for one fork+exit pair of a storm,
// in µs. What an elsad misses is added to lost, if that is not nil.
func (b *bench) pair(start func() (*program, error), lost *uint64) (own, load float64, err error) {
	p, err := start()
	if err != nil {
		return 0, 0, err
	}
	before, err := p.cpu()
	if err != nil {
		return 0, 0, err
	}
	_, cpu, err := b.load("storm", strconv.Itoa(b.forks), "2")
	if err != nil {
		return 0, 0, err
	}
	time.Sleep(1200 * time.Millisecond) // the commit that follows
	after, err := p.cpu()
	if err != nil {
		return 0, 0, err
	}
	if p.socket != "" && lost != nil {
		n, err := p.lost(b.ctx)
		if err != nil {
			return 0, 0, err
		}
		*lost += n
	}
	forks := float64(b.forks)
	return float64((after - before).Nanoseconds()) / forks / 1e3, float64(cpu.Nanoseconds()) / forks / 1e3, p.stop()
}

// storm compares the CPU for one fork+exit pair under a storm: elsad with all
// stages on, forkstat that prints the events to nowhere, and the kernel's own
// cost of a listener that reads nothing.
func (b *bench) storm() error {
	n, lost := strconv.Itoa(b.forks), uint64(0)
	pair := func(start func() (*program, error)) (own, load float64, err error) { return b.pair(start, &lost) }
	var ours, connector, theirs, kernel, bare, withBPF, withConnector []float64
	for range b.rounds {
		_, cpu, err := b.load("storm", n, "2")
		if err != nil {
			return err
		}
		bare = append(bare, float64(cpu.Nanoseconds())/float64(b.forks)/1e3)
		_, with, err := pair(func() (*program, error) { return b.listener("none") })
		if err != nil {
			return err
		}
		kernel = append(kernel, with)
		for _, by := range []struct {
			own, load *[]float64
			args      []string
		}{{&ours, &withBPF, []string{"--source", "bpf", "--taskstats", "off"}}, {&connector, &withConnector, []string{"--source", "proc", "--taskstats", "on"}}} {
			own, load, err := pair(func() (*program, error) { return b.elsad(by.args...) })
			if err != nil {
				return err
			}
			*by.own, *by.load = append(*by.own, own), append(*by.load, load)
		}
		if _, err := exec.LookPath("forkstat"); err != nil {
			continue
		}
		own, _, err := pair(func() (*program, error) { return b.start("", "forkstat", "-e", "fork,exit") })
		if err != nil {
			return err
		}
		theirs = append(theirs, own)
	}
	r := row{what: fmt.Sprintf("CPU of elsad for a fork+exit pair, by BPF (no taskstats); %d events and records lost", lost), ours: micro(ours), peer: "forkstat: not installed", limit: "≤ 0.5"}
	if len(theirs) > 0 {
		ratio := median(ours) / median(theirs)
		r.peer, r.ratio, r.ok = "forkstat printing: "+micro(theirs), fmt.Sprintf("%.2f", ratio), ratio <= 0.5 && lost == 0
	}
	ratio := median(ours) / median(connector)
	b.rows = append(b.rows, r, row{
		what: "the same, beside the process connector and taskstats", ours: micro(ours), peer: "elsad --source proc: " + micro(connector),
		ratio: fmt.Sprintf("%.2f", ratio), limit: "≤ 0.45", ok: ratio <= 0.45 && lost == 0,
	}, row{
		what: "the kernel's side: CPU of the load for a pair, by BPF", ours: micro(withBPF), peer: "elsad --source proc: " + micro(withConnector),
		ratio: fmt.Sprintf("%.2f", median(withBPF)/median(withConnector)),
	}, row{
		what: "the kernel alone: a pair with a listener that reads nothing", ours: micro(kernel),
		peer: "no listener: " + micro(bare), ratio: fmt.Sprintf("%.2f", median(kernel)/median(bare)),
	})
	return nil
}

func micro(v []float64) string { return fmt.Sprintf("%.2f ± %.2f µs", median(v), spread(v)) }
