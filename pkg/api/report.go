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
	"elsa/pkg/client"
	"elsa/pkg/groups"
)

// FillReport gives r, whose By is set, the rows and sums of a report of the
// history. names are the groups'.
func FillReport(r *Report, from *history.Report, names map[uint32]string) {
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
