// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command init is PID 1 of the test machine. It mounts what a Linux program
// expects, runs the steps of /plan one after another, looks through the kernel
// log for reports, and writes "success" to the second serial port if all was
// as planned. Then it turns the machine off. Any other end, a panic or silence
// included, leaves the port without that word.
package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const verdictDevice = "/dev/ttyS1"

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "init: this is PID 1 of the test machine; start it with make vm-test")
		os.Exit(2)
	}
	err := run()
	if err != nil {
		fmt.Printf("init: %v\n", err)
	} else if err := writeVerdict(); err != nil {
		fmt.Printf("init: write the verdict: %v\n", err)
	}
	os.Stdout.Sync()
	// QEMU runs with -no-reboot: a reset ends it.
	unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}

func run() error {
	if err := setUp(); err != nil {
		return err
	}
	b, err := os.ReadFile("/plan")
	if err != nil {
		return err
	}
	steps, err := parsePlan(string(b))
	if err != nil {
		return err
	}
	failed := 0
	for _, s := range steps {
		start := time.Now()
		err := s.run()
		word := "ok"
		if err != nil {
			word = "FAILED: " + err.Error()
			failed++
		}
		fmt.Printf("step %s: %s (%.1fs)\n", s.name, word, time.Since(start).Seconds())
	}
	reports, err := kernelReports()
	if err != nil {
		return err
	}
	for _, r := range reports {
		fmt.Printf("kernel report: %s\n", r)
	}
	if failed > 0 || len(reports) > 0 {
		return fmt.Errorf("%d of %d steps failed, %d kernel reports", failed, len(steps), len(reports))
	}
	return nil
}

func writeVerdict() error {
	fd, err := unix.Open(verdictDevice, unix.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte("success\n")); err != nil {
		return err
	}
	// Until the port has sent it: TCSBRK with a non-zero argument is tcdrain.
	return unix.IoctlSetInt(fd, unix.TCSBRK, 1)
}
