// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
)

// FuzzRequest sends a request given as bytes. Whatever it is, the answer is
// JSON, every refusal is a problem with a sentence, and nothing in it is taken
// for a fault of the service. What the service is handed is well formed.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		"GET /v1/groups HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /v1/groups HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n{\"name\":\"a\"}",
		"POST /v1/groups/a%2fb/members HTTP/1.1\r\nHost: x\r\nContent-Length: 24\r\n\r\n{\"pids\":[1],\"tree\":true}",
		"POST /v1/groups/ci/members/remove HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n{\"pids\":[1]}\r\n0\r\n\r\n",
		"DELETE /v1/groups/%2E%2E HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /v1/groups/ci/close HTTP/1.0\r\n\r\n",
		"GET /v1/usage?group=ci&wait=true HTTP/1.1\r\nHost: x\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n",
		"GET http://other/v1//status HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return // net/http answers this one itself
		}
		r = r.WithContext(withCaller(t.Context(), Caller{UID: 1000, PID: 1}))
		s := newFake()
		s.CreateGroup(t.Context(), Caller{}, CreateGroupRequest{Name: "ci"})
		w := httptest.NewRecorder()
		newHandler(checked{s, t}, nil, slog.New(slog.DiscardHandler)).ServeHTTP(w, r)

		body, _ := io.ReadAll(w.Result().Body)
		switch code := w.Code; {
		case code == 204 && len(body) == 0:
		case code == 200 || code == 201:
			if !json.Valid(body) {
				t.Errorf("%d with %q", code, body)
			}
		case code >= 400 && code < 500:
			var e Error
			if err := json.Unmarshal(body, &e); err != nil || e.Status != code || e.Detail == "" {
				t.Errorf("%d with %q", code, body)
			}
			if code == 405 && w.Header().Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		default:
			t.Errorf("status %d with %q", code, body)
		}
	})
}
