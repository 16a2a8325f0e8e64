// SPDX-License-Identifier: Apache-2.0

package client

import "time"

// RulesTrial says what the rules would do with a process.
type RulesTrial struct {
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Started time.Time `json:"started"`
	UID     uint32    `json:"uid"`
	// Groups are those the process is in, Joins those the rules would put it in.
	Groups []string `json:"groups"`
	Joins  []string `json:"joins"`
	// Match is "first" or "all": how many rules may match.
	Match string        `json:"match"`
	Rules []RuleVerdict `json:"rules"`
}

// RuleVerdict is what one rule says of the process.
type RuleVerdict struct {
	// Line is where the rule begins in its file.
	Line int `json:"line"`
	// Rule is its group as it is written, which may be a template; Group is the
	// name made of it, absent unless the conditions are fulfilled.
	Rule  string `json:"rule"`
	Group string `json:"group,omitempty"`
	// Outcome is "joins", "member" (it is in the group already), "closed" (the
	// group takes nobody), "unnamed" (the template makes no name), "mismatch" or
	// "skipped" (a rule before matched).
	Outcome    string          `json:"outcome"`
	Conditions []RuleCondition `json:"conditions"`
}

// RuleCondition is one condition of a rule: one of the patterns Want must match
// one of Have.
type RuleCondition struct {
	Name      string   `json:"name"`
	Want      []string `json:"want"`
	Have      []string `json:"have"`
	Fulfilled bool     `json:"fulfilled"`
}
