// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// configs are the choices of sources to compare, the usual one first.
var configs = [][]string{
	nil,
	{"--exact", "off"},
	{"--exact", "off", "--taskstats", "off"},
}

// elsad is one daemon with throw-away state, told what to do by elsactl.
type elsad struct {
	args   []string
	ctl    string
	socket string
	cmd    *exec.Cmd
	log    bytes.Buffer // complete once exited is closed
	exited chan struct{}
}

// startElsad starts a daemon that follows the accounting file, and waits until
// it is ready.
func startElsad(ctx context.Context, bin, dir, pacct string, args []string) (*elsad, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	d := &elsad{args: args, ctl: filepath.Join(bin, "elsactl"), socket: filepath.Join(dir, "sock"), exited: make(chan struct{})}
	// Not bound to ctx: it is stopped in order.
	d.cmd = exec.Command(filepath.Join(bin, "elsad"), append([]string{
		"--state-dir", filepath.Join(dir, "state"), "--socket", d.socket,
		"--web.listen-address", "127.0.0.1:0", "--acct", "follow:" + pacct,
	}, args...)...)
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", d.name(), err)
	}
	ready := make(chan struct{}, 1)
	go func() {
		defer close(d.exited)
		for lines := bufio.NewReader(stderr); ; {
			line, err := lines.ReadString('\n')
			d.log.WriteString(line)
			if strings.Contains(line, "msg=ready") {
				ready <- struct{}{}
			}
			if err != nil {
				io.Copy(&d.log, stderr)
				d.cmd.Wait()
				return
			}
		}
	}()
	select {
	case <-ready:
		return d, nil
	case <-d.exited:
		return nil, fmt.Errorf("start %s: %s", d.name(), bytes.TrimSpace(d.log.Bytes()))
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(20 * time.Second):
		err = errors.New("not ready after 20 s")
	}
	return nil, errors.Join(fmt.Errorf("start %s: %w", d.name(), err), d.stop())
}

func (d *elsad) stop() error {
	d.cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-d.exited:
	case <-time.After(20 * time.Second):
		d.cmd.Process.Kill()
		<-d.exited
	}
	if !d.cmd.ProcessState.Success() {
		return fmt.Errorf("%s ended with %v; it said:\n%s", d.name(), d.cmd.ProcessState, d.log.Bytes())
	}
	return nil
}

func (d *elsad) name() string { return strings.Join(append([]string{"elsad"}, d.args...), " ") }

// elsactl runs a command and returns its output.
func (d *elsad) elsactl(ctx context.Context, args ...string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, d.ctl, append([]string{"--socket", d.socket}, args...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("elsactl %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

func (d *elsad) begin(ctx context.Context, workload string, pid int, _ uint32) error {
	if _, err := d.elsactl(ctx, "group", "create", workload); err != nil {
		return err
	}
	_, err := d.elsactl(ctx, "group", "add", workload, strconv.Itoa(pid))
	return err
}

func (d *elsad) end(ctx context.Context, workload string, _ uint32) (reading, error) {
	out, err := d.elsactl(ctx, "usage", workload, "--wait", "-o", "json")
	if err != nil {
		return reading{}, err
	}
	return parseUsage(out)
}

// parseUsage reads the bill of the one group in the output of usage -o json.
func parseUsage(out []byte) (reading, error) {
	var report struct {
		Groups []struct {
			Usage struct {
				Ended int     `json:"processes_ended"`
				Live  int     `json:"processes_live"`
				CPU   float64 `json:"cpu_seconds"`
			} `json:"usage"`
			Precision struct{ Exact, Sampled, Rounded int } `json:"precision"`
		} `json:"groups"`
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return reading{}, fmt.Errorf("parse usage: %w", err)
	}
	if len(report.Groups) != 1 {
		return reading{}, fmt.Errorf("parse usage: %d groups in %.200s", len(report.Groups), out)
	}
	g := report.Groups[0]
	if g.Usage.Live != 0 {
		return reading{}, fmt.Errorf("%d processes live after the end of all", g.Usage.Live)
	}
	return reading{
		cpu: time.Duration(g.Usage.CPU * 1e9), processes: g.Usage.Ended,
		exact: g.Precision.Exact, sampled: g.Precision.Sampled, rounded: g.Precision.Rounded,
	}, nil
}
