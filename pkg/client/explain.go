// SPDX-License-Identifier: Apache-2.0

package client

import "time"

// Explanation says why a process is in its groups.
type Explanation struct {
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Started time.Time `json:"started"`
	UID     uint32    `json:"uid"`
	// Unattributed: events were lost, and it cannot be proved where it belongs.
	Unattributed bool         `json:"unattributed"`
	Groups       []Membership `json:"groups"`
}

// Membership says why a process is in one group.
type Membership struct {
	Group string `json:"group"`
	// Inferred: forks were found in /proc after events were lost.
	Inferred bool `json:"inferred"`
	// Chain begins with the process; each was forked by the next. It ends with
	// the one that Origin put in the group.
	Chain []Ancestor `json:"chain"`
	// Omitted counts those left out of the middle of Chain, which has the 32 at each
	// end of a longer one.
	Omitted int `json:"omitted,omitempty"`
	// Origin is absent where the chain is not known further. The group then came
	// from one of Candidates, the origins known from before.
	Origin     *Origin  `json:"origin,omitempty"`
	Candidates []Origin `json:"candidates,omitempty"`
}

// Ancestor is a process in the chain of forks.
type Ancestor struct {
	PID int `json:"pid"`
	// Command is its name now, or when it ended.
	Command string    `json:"command"`
	Started time.Time `json:"started"`
	// Ended is absent while it lives.
	Ended time.Time `json:"ended,omitzero"`
	// Left: it was taken out of the group since.
	Left bool `json:"left"`
}

// Origin is a process that was put in the group, not born in it.
type Origin struct {
	PID int `json:"pid"`
	// Command is what it was called then.
	Command string    `json:"command"`
	Time    time.Time `json:"time"`
	// UID asked for it, or else the rule in this line of the configuration did.
	UID  *uint32 `json:"uid,omitempty"`
	Rule int     `json:"rule,omitempty"`
}
