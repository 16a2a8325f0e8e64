// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"strings"

	"elsa/internal/escape"
	"elsa/pkg/client"
)

// names says which users and unix groups cannot be resolved.
func (h *host) names(s client.Status) {
	n := len(h.found)
	if err := h.getent(); err != nil {
		h.add("names", warn, "install getent (libc-bin, glibc-common)", "users and unix groups are known from /etc/passwd and /etc/group alone, none of LDAP, SSSD or another nss module: %v", err)
	}
	for _, unknown := range []struct {
		what, database string
		names          []string
	}{{"users", "passwd", s.Rules.UnknownUsers}, {"unix groups", "group", s.Rules.UnknownUnixGroups}} {
		if len(unknown.names) > 0 {
			h.add("names", warn, "see what the name service says: getent "+unknown.database+" NAME (nsswitch.conf); then systemctl reload elsad",
				"rules name %s that the name service does not know: %s", unknown.what, escape.Text(strings.Join(unknown.names, " ")))
		}
	}
	if s.Names.Failed > 0 {
		h.add("names", warn, "see whether getent passwd NAME answers, within 5 s", "the name service did not answer %d times; such users are known by number", s.Names.Failed)
	}
	if len(h.found) == n {
		h.add("names", ok, "", "the name service is asked for users and unix groups (getent)")
	}
}

// service judges the running elsad by what it says of itself.
func (h *host) service(s client.Status, err error) {
	var unreachable *client.UnreachableError
	switch {
	case errors.As(err, &unreachable):
		h.add("elsad", fail, "systemctl start elsad; or name its socket with --socket", "nobody answers at %s: %v", unreachable.Socket, unreachable.Err)
		return
	case err != nil:
		h.add("elsad", fail, "look at its log: journalctl -u elsad", "it answers with an error: %v", err)
		return
	}
	n := len(h.found)
	if s.Sources.Suspended {
		h.add("elsad", fail, s.Sources.SuspendedCause, "no accounting records come since %s", clock(s.Sources.SuspendedSince))
	}
	if !s.UnsavedSince.IsZero() {
		h.add("elsad", fail, "look at the disk of its state directory: is it full, or its file system frozen?", "nothing could be saved since %s; it is kept in memory", clock(s.UnsavedSince))
	}
	if s.Sources.Accounting == "off" {
		h.add("elsad", warn, "start it without --acct off", "it runs without accounting: processes that end while it is down are lost")
	}
	for _, source := range []struct{ name, state string }{{"exact CPU", s.Sources.Exact}, {"taskstats", s.Sources.Taskstats}} {
		if source.state != "on" && source.state != "off" { // switched off by hand is a choice
			h.add("elsad", warn, "see the log of its start: journalctl -u elsad", "%s is %s", source.name, source.state)
		}
	}
	if s.Events.Lost > 0 {
		h.add("elsad", warn, "give it a larger --event-buffer, or a better CPU share", "%d events were lost since it started; what they were about is marked as inferred", s.Events.Lost)
	}
	if k := s.Conservation.Ratio; k < 0.99 || k > 1.01 {
		h.add("elsad", fail, "this is an error in elsad: please report it with the output of elsactl status -o json", "the bills are %.2f %% of what the kernel reported", 100*k)
	}
	if s.BacklogBytes > 64<<20 {
		h.add("elsad", warn, "wait; if it does not shrink, elsad does not get enough CPU", "%s of the accounting file wait to be charged", bytes(uint64(s.BacklogBytes)))
	}
	if len(h.found) == n {
		h.add("elsad", ok, "", "%s runs since %s; %s, %d processes", s.Version, clock(s.Started), count(s.Groups, "group"), s.Processes)
	}
}
