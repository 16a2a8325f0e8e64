// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"elsa/internal/history"
	"elsa/pkg/groups"
)

// ReportQuery asks what ended processes used.
type ReportQuery struct {
	// Groups are the names of the groups whose processes count; all processes
	// of the machine when there are none.
	Groups []string
	// By is what the rows tell apart: group, command, user or hour.
	By string
	// Since and Until bound when the processes ended, by whole hours, or whole UTC
	// days where hours are not told apart any more; zero: as far as the history
	// goes.
	Since, Until time.Time
	// Wait waits first until every process that died before is counted, with the
	// best record it will get; bounded by the service.
	Wait bool
}

// ReportBy are the values of [ReportQuery].By.
var ReportBy = []string{"group", "command", "user", "hour"}

// Report is what processes used that ended in a time, added up in rows. What a
// live process used before it changed groups counts, too, as of then. A process
// in several groups counts in the row of each, and once in Total.
type Report struct {
	Time  time.Time   `json:"time"`
	Since time.Time   `json:"since"`
	Until time.Time   `json:"until"`
	By    string      `json:"by"`
	Rows  []ReportRow `json:"rows"`
	// Ungrouped and Unattributed are parts of Total; nothing when groups were
	// named.
	Ungrouped    Spent `json:"ungrouped"`
	Unattributed Spent `json:"unattributed"`
	Total        Spent `json:"total"`
}

// ReportRow is one group, command, user or hour.
type ReportRow struct {
	Group   string `json:"group,omitempty"`
	Command string `json:"command,omitempty"`
	// UID is absent unless rows are users.
	UID *uint32 `json:"uid,omitempty"`
	// Hour is when the hour began, or with Daily the UTC day: hours are told apart
	// for a week only (elsad --history-hours).
	Hour  time.Time `json:"hour,omitzero"`
	Daily bool      `json:"daily,omitempty"`
	Spent
}

// Spent is what ended processes used.
type Spent struct {
	Processes           uint64  `json:"processes"`
	ElapsedSeconds      float64 `json:"elapsed_seconds"`
	CPUUserSeconds      float64 `json:"cpu_user_seconds"`
	CPUSystemSeconds    float64 `json:"cpu_system_seconds"`
	CPUSeconds          float64 `json:"cpu_seconds"`
	MinorFaults         uint64  `json:"minor_faults"`
	MajorFaults         uint64  `json:"major_faults"`
	ReadBytes           uint64  `json:"read_bytes"`
	WriteBytes          uint64  `json:"write_bytes"`
	ReadChars           uint64  `json:"read_chars"`
	WriteChars          uint64  `json:"write_chars"`
	MaxRSSBytes         uint64  `json:"max_rss_bytes"`
	VoluntarySwitches   uint64  `json:"voluntary_switches"`
	InvoluntarySwitches uint64  `json:"involuntary_switches"`
	ExitNonzero         uint64  `json:"exit_nonzero"`
	ExitSignal          uint64  `json:"exit_signal"`
	// Exact, Sampled and Rounded add up to Processes; see [Precision].
	Exact    uint64 `json:"exact"`
	Sampled  uint64 `json:"sampled"`
	Rounded  uint64 `json:"rounded"`
	Inferred uint64 `json:"inferred"`
}

// Fill takes rows and sums from a report of the history. names are the groups'.
func (r *Report) Fill(from *history.Report, names map[uint32]string) {
	r.Rows = []ReportRow{}
	for _, row := range from.Rows() {
		w := ReportRow{Spent: spent(&row.Usage)}
		switch r.By {
		case "group":
			w.Group = names[row.Group]
		case "command":
			w.Command = strings.ToValidUTF8(row.Command, "\uFFFD")
		case "user":
			w.UID = &row.UID
		case "hour":
			w.Hour, w.Daily = time.Unix(int64(row.Hour)*3600, 0).UTC(), row.Daily
		}
		r.Rows = append(r.Rows, w)
	}
	r.Ungrouped, r.Unattributed, r.Total = spent(&from.Ungrouped), spent(&from.Unattributed), spent(&from.Total)
}

func report(s Service, c Caller, r *http.Request) (int, any, error) {
	q, err := reportQuery(r)
	if err != nil {
		return 0, nil, err
	}
	out, err := s.Report(r.Context(), c, q)
	return http.StatusOK, out, err
}

func reportQuery(r *http.Request) (out ReportQuery, err error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return out, BadRequest("bad query: %v", err)
	}
	out.By = "group"
	for key, values := range q {
		last := values[len(values)-1]
		switch key {
		case "group":
			for _, name := range values {
				if err := groups.CheckName(name); err != nil {
					return out, BadRequest("%v", err)
				}
			}
			out.Groups = values
		case "by":
			if !slices.Contains(ReportBy, last) {
				return out, BadRequest("bad query: by is %.20q; use %s", last, strings.Join(ReportBy, ", "))
			}
			out.By = last
		case "since", "until":
			t, err := time.Parse(time.RFC3339, last)
			if err != nil {
				return out, BadRequest("bad query: %s is %.40q; use RFC 3339, as in 2026-03-04T05:06:07Z", key, last)
			}
			if key == "since" {
				out.Since = t
			} else {
				out.Until = t
			}
		case "wait":
			if out.Wait, err = strconv.ParseBool(last); err != nil {
				return out, BadRequest("bad query: wait is %.20q; use true or false", last)
			}
		default:
			return out, BadRequest("bad query: %.40q is unknown; use group, by, since, until and wait", key)
		}
	}
	if !out.Since.IsZero() && !out.Until.IsZero() && !out.Since.Before(out.Until) {
		return out, BadRequest("bad query: since is not before until")
	}
	return out, nil
}
