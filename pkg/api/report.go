// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"elsa/internal/history"
	"elsa/pkg/client"
	"elsa/pkg/usage"
)

// FillReport gives r, whose By is set, the rows and sums of a report of the
// history. names are those of its rows by group, by their numbers.
func FillReport(r *Report, from *history.Report, names []string) {
	r.Rows = []ReportRow{}
	for _, row := range from.Rows() {
		w := ReportRow{Spent: spent(&row.Usage)}
		switch r.By {
		case "group":
			w.Group = names[row.Group]
		case "set":
			w.Groups, w.UID = make([]string, len(row.Set)), &row.UID
			for i, n := range row.Set {
				w.Groups[i] = names[n]
			}
			w.Unattributed = row.Unattributed
		case "command":
			w.Command = strings.ToValidUTF8(row.Command, "\uFFFD")
		case "user":
			w.UID = &row.UID
		case "hour":
			w.Hour, w.Daily = usage.HourStart(row.Hour), row.Daily
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
			if err := checkSelect(values); err != nil {
				return out, err
			}
			out.Groups = values
		case "by":
			if last == "" { // as if it were not there
				continue
			}
			if !slices.Contains(client.ReportBy, last) {
				return out, BadRequest("bad query: by is %.20q; use %s", last, strings.Join(client.ReportBy, ", "))
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
			if out.Wait, err = queryBool(key, values); err != nil {
				return out, err
			}
		case "mine":
			if out.Mine, err = queryBool(key, values); err != nil {
				return out, err
			}
		default:
			return out, BadRequest("bad query: %.40q is unknown; use group, by, since, until, mine and wait", key)
		}
	}
	if !out.Since.IsZero() && !out.Until.IsZero() && !out.Since.Before(out.Until) {
		return out, BadRequest("bad query: since is not before until")
	}
	return out, nil
}
