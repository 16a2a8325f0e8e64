// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/http"
	"net/url"
	"strconv"
)

func explain(s Service, c Caller, r *http.Request) (int, any, error) {
	pid, err := pidQuery(r)
	if err != nil {
		return 0, nil, err
	}
	if err := c.MayName(); err != nil {
		return 0, nil, err
	}
	e, err := s.Explain(r.Context(), c, pid)
	return http.StatusOK, e, err
}

// pidQuery reads the query of a request about one process.
func pidQuery(r *http.Request) (int, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return 0, BadRequest("bad query: %v", err)
	}
	for key := range q {
		if key != "pid" {
			return 0, BadRequest("bad query: %.40q is unknown; use pid", key)
		}
	}
	pid, err := strconv.ParseInt(q.Get("pid"), 10, 32)
	if err != nil || pid < 1 {
		return 0, BadRequest("bad query: pid is %.20q; use a positive number", q.Get("pid"))
	}
	return int(pid), nil
}
