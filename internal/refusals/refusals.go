// SPDX-License-Identifier: Apache-2.0

// Package refusals counts what the service refused or cut because it is bounded,
// so that nothing is left out in silence.
package refusals

import "sync/atomic"

// Kind is what was refused or cut.
type Kind int

const (
	// RuleOwner counts processes that a rule did not put in a group, because the
	// group is a user's.
	RuleOwner Kind = iota
	// RuleLimit counts processes that a rule did not put in a group, because the
	// rule has made as many groups as it may.
	RuleLimit
	// GroupReserved counts groups that a user may not make, because a rule could.
	GroupReserved
	// GroupLimit counts groups that a user may not make, because users have enough.
	GroupLimit
	// GroupEvicted counts groups of ended commands of elsactl run that were deleted
	// early to make room for another of the same user.
	GroupEvicted
	// RequestSize counts requests that ask for too much at once.
	RequestSize
	// RequestBusy counts requests that were refused because their user has too many
	// under way.
	RequestBusy
	// RequestHost counts HTTP requests for a host that the service is not.
	RequestHost
	// Connection counts connections that were refused or closed because there were
	// too many.
	Connection
	// Answer counts answers that were given up because their reader was too slow.
	Answer
	// Memory counts reads of another process's memory that were cut at their bound.
	Memory
	// Sum counts figures of accounting records that no process can have.
	Sum

	kinds
)

var names = [kinds]string{
	"rule_owner", "rule_limit", "group_reserved", "group_limit", "group_evicted", "request_size", "request_busy",
	"request_host", "connection", "answer", "memory", "sum",
}

// String is the kind's name in the API and the metrics.
func (k Kind) String() string { return names[k] }

// Counts are counters by kind, since the start of the service. The zero value is
// ready, and so is nil, which counts nothing. Safe for concurrent use.
type Counts [kinds]atomic.Uint64

// Add counts one.
func (c *Counts) Add(k Kind) {
	if c != nil {
		c[k].Add(1)
	}
}

// Map returns all counters by their name, those at zero too.
func (c *Counts) Map() map[string]uint64 {
	m := make(map[string]uint64, kinds)
	for k := range kinds {
		if m[k.String()] = 0; c != nil {
			m[k.String()] = c[k].Load()
		}
	}
	return m
}
