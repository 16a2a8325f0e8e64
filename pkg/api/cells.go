// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/http"
	"net/url"
	"time"

	"elsa/pkg/usage"
)

func cells(s Service, c Caller, r *http.Request) (int, any, error) {
	q, err := cellsQuery(r)
	if err != nil {
		return 0, nil, err
	}
	out, err := s.Cells(r.Context(), c, q)
	return http.StatusOK, out, err
}

// maxMark bounds a mark.
const maxMark = 64

func cellsQuery(r *http.Request) (out CellsQuery, err error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return out, BadRequest("bad query: %v", err)
	}
	for key, values := range q {
		last := values[len(values)-1]
		switch key {
		case "after":
			if len(last) > maxMark {
				return out, BadRequest("bad query: after is %.20q; use the mark of an earlier answer", last)
			}
			out.After = last
		case "from":
			if out.From, err = time.Parse(time.RFC3339, last); err != nil {
				return out, BadRequest("bad query: from is %.40q; use RFC 3339, as in 2026-03-04T05:00:00Z", last)
			}
		default:
			return out, BadRequest("bad query: %.40q is unknown; use after and from", key)
		}
	}
	return out, nil
}

// MayReadCells returns nil if the caller may read the cells of all users. Otherwise it
// returns a 403 [Error].
func (c Caller) MayReadCells() error {
	if c.Admin {
		return nil
	}
	return Forbidden("cells hold what every user ran; only root and members of unix group %s may read them", AdminGroup)
}

// CellColumns name the figures of a cell.
func CellColumns() []string {
	names := make([]string, len(usage.Stored))
	for i, f := range usage.Stored {
		names[i] = f.Info().Column()
	}
	return names
}

// Figures are those of a cell.
func Figures(u *usage.Usage) []uint64 {
	list := make([]uint64, len(usage.Stored))
	for i, f := range usage.Stored {
		list[i] = u[f]
	}
	return list
}
