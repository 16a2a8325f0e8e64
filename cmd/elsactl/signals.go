// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// stand makes elsactl outlive the signals that are meant for the command: the
// terminal sends its own to both, the others are forwarded. They are queued
// until forward is called, which runs until stop is. Ignored signals, as under
// nohup, stay so.
func stand() (forward func(*os.Process), stop func()) {
	c := make(chan os.Signal, 16)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2} {
		if !signal.Ignored(s) {
			signal.Notify(c, s)
		}
	}
	forward = func(p *os.Process) {
		go func() {
			for s := range c {
				if (s == syscall.SIGINT || s == syscall.SIGQUIT) && onTerminal() {
					continue // the command got it too
				}
				p.Signal(s) // it may have ended
			}
		}()
	}
	return forward, func() { signal.Stop(c); close(c) }
}

// onTerminal reports whether there is a terminal that could have sent a signal.
func onTerminal() bool {
	f, err := os.OpenFile("/dev/tty", os.O_RDONLY|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	f.Close()
	return true
}
