// SPDX-License-Identifier: Apache-2.0

package chdb

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Fault is what happens to a request.
type Fault int

// The faults.
const (
	None      Fault = iota
	CutBefore       // the connection ends, and the engine is not asked
	CutAfter        // the engine has done it, and the connection ends
	Twice           // the engine is asked twice, and answers once
	FailAfter       // the engine has done it, and 500 is the answer
	Late            // the connection ends, and the engine is asked later, after the next request
	Faults
)

// Proxy is between a program and an engine.
type Proxy struct {
	// Host is where it listens.
	Host string
	// Next says what happens to the next request. Requests come one after the other.
	Next func(statement string) Fault
}

// Proxy starts a proxy before an engine. It ends with the test.
func (s *Server) Proxy(t testing.TB) *Proxy {
	p := &Proxy{Next: func(string) Fault { return None }}
	var late []func()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		statement := r.URL.Query().Get("query")
		if statement == "" {
			statement = string(body)
		}
		ask := func() (int, []byte) {
			req, err := http.NewRequest(r.Method, "http://"+s.Host+"/?"+r.URL.RawQuery, bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return 0, nil
			}
			req.Header = r.Header.Clone()
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Error(err)
				return 0, nil
			}
			defer res.Body.Close()
			answer, _ := io.ReadAll(res.Body)
			return res.StatusCode, answer
		}
		fault := p.Next(statement)
		insert := strings.HasPrefix(statement, "INSERT")
		if fault == CutBefore || fault == Late {
			if fault == Late && insert {
				late = append(late, func() { ask() })
			}
			panic(http.ErrAbortHandler)
		}
		status, answer := ask()
		for _, f := range late {
			f()
		}
		late = nil
		switch fault {
		case CutAfter:
			w.Header().Set("Content-Length", fmt.Sprint(len(answer)+1))
			w.Write(answer[:len(answer)/2])
			panic(http.ErrAbortHandler)
		case Twice:
			ask()
		case FailAfter:
			status, answer = http.StatusInternalServerError, []byte("Code: 210. DB::NetException: Connection reset by peer. (NETWORK_ERROR)")
		}
		w.WriteHeader(status)
		w.Write(answer)
	}))
	server.Config.ErrorLog = nil
	t.Cleanup(server.Close)
	p.Host = strings.TrimPrefix(server.URL, "http://")
	return p
}
