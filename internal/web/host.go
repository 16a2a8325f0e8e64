// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"elsa/internal/tally"
)

// hosts says which names a server answers to. A page of another site can have its
// name point here (DNS rebinding) and read what this server says, but the browser
// sends that site's name along.
type hosts struct {
	loopback bool            // only this machine can reach the listener
	names    map[string]bool // in lower case, without a port
	refused  *tally.Shared
}

func newHosts(addr net.Addr, allowed []string, refused *tally.Shared) *hosts {
	h := &hosts{names: map[string]bool{}, refused: refused}
	if tcp, ok := addr.(*net.TCPAddr); ok {
		h.loopback = tcp.IP.IsLoopback()
	}
	for _, name := range allowed {
		h.names[strings.ToLower(strings.Trim(name, "[]"))] = true
	}
	return h
}

// answers reports whether a request for a host, with or without a port, is for us.
// One without any is not from a browser.
func (h *hosts) answers(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	ip, err := netip.ParseAddr(host)
	local := host == "localhost" || err == nil && ip.IsLoopback()
	switch {
	case host == "", h.names[host]:
		return true
	case h.loopback:
		return local
	case len(h.names) > 0:
		return local || err == nil // nobody can rebind an address
	}
	return true
}

// check refuses requests for other hosts.
func (h *hosts) check(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.answers(r.Host) {
			h.refused.Add(tally.Hosts)
			http.Error(w, "this is not a host that elsad answers to; name it in --web.allowed-hosts if it should be", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
