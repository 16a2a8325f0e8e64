// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroup is a control group made for one run: the kernel's own count of the
// CPU time of all processes that were ever in it, kept by the scheduler.
type cgroup struct {
	dir   string
	usage func(dir string) (time.Duration, error)
}

// newCgroup makes a group of version 1's cpuacct controller where that is
// mounted, for it counts in nanoseconds, and else one of version 2.
func newCgroup(name string) (*cgroup, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	root, v1, err := findHierarchy(string(mounts))
	if err != nil {
		return nil, err
	}
	c := &cgroup{dir: filepath.Join(root, name), usage: usageV2}
	if v1 {
		c.usage = usageV1
	}
	if err := os.Mkdir(c.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make control group: %w", err)
	}
	return c, nil
}

// findHierarchy finds, in the text of mountinfo (proc(5)), where to make groups.
func findHierarchy(mountinfo string) (root string, v1 bool, err error) {
	for line := range strings.Lines(mountinfo) {
		mount, fs, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(mount), strings.Fields(fs)
		if !ok || len(fields) < 5 || len(kind) < 3 {
			continue
		}
		switch {
		case kind[0] == "cgroup2" && root == "":
			root = fields[4]
		case kind[0] == "cgroup" && hasOption(kind[2], "cpuacct"):
			return fields[4], true, nil
		}
	}
	if root == "" {
		return "", false, errors.New("find control groups: neither cpuacct nor cgroup2 is mounted; mount -t cgroup2 none /sys/fs/cgroup")
	}
	return root, false, nil
}

func hasOption(options, want string) bool {
	for o := range strings.SplitSeq(options, ",") {
		if o == want {
			return true
		}
	}
	return false
}

func usageV1(dir string) (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join(dir, "cpuacct.usage"))
	if err != nil {
		return 0, err
	}
	return parseUsageV1(text)
}

func parseUsageV1(text []byte) (time.Duration, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return time.Duration(n), err
}

func usageV2(dir string) (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join(dir, "cpu.stat"))
	if err != nil {
		return 0, err
	}
	return parseUsageV2(text)
}

func parseUsageV2(text []byte) (time.Duration, error) {
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "usage_usec "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return time.Duration(n) * time.Microsecond, err
		}
	}
	return 0, errors.New("no usage_usec in cpu.stat")
}

// add moves a process into the group.
func (c *cgroup) add(pid int) error {
	return os.WriteFile(filepath.Join(c.dir, "cgroup.procs"), fmt.Appendln(nil, pid), 0)
}

// processes returns the group's live processes.
func (c *cgroup) processes() ([]int, error) {
	text, err := os.ReadFile(filepath.Join(c.dir, "cgroup.procs"))
	var pids []int
	for f := range strings.FieldsSeq(string(text)) {
		pid, e := strconv.Atoi(f)
		if e != nil {
			return nil, e
		}
		pids = append(pids, pid)
	}
	return pids, err
}

// final returns the group's count once its last process is gone. That one may
// still be on its way off the CPU, so the count must stand still.
func (c *cgroup) final(ctx context.Context) (time.Duration, error) {
	before := time.Duration(-1)
	for {
		pids, err := c.processes()
		if err != nil {
			return 0, err
		}
		used, err := c.usage(c.dir)
		if err != nil {
			return 0, err
		}
		if len(pids) == 0 && used == before {
			return used, nil
		}
		before = used
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// remove kills what is left in the group and removes it.
func (c *cgroup) remove() error {
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		pids, _ := c.processes()
		for _, pid := range pids {
			unix.Kill(pid, unix.SIGKILL)
		}
		err := os.Remove(c.dir)
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}
