// SPDX-License-Identifier: Apache-2.0

package api

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
)

// A process id that a caller in another pid namespace names is never taken for one
// of ours; what names none works.
func TestNestedCallerNamesNoProcess(t *testing.T) {
	f := newFake()
	h := newHandler(f, nil, slog.New(slog.DiscardHandler))
	ask := func(nested bool, method, path, body string) (int, string) {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r = r.WithContext(withCaller(r.Context(), Caller{PID: 77, Admin: true, Nested: nested}))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	ask(false, "POST", "/v1/groups", `{"name":"web"}`)
	for _, tc := range []struct{ method, path, body string }{
		{"POST", "/v1/groups/web/members", `{"pids":[1]}`},
		{"POST", "/v1/groups/web/members/remove", `{"pids":[1]}`},
		{"GET", "/v1/explain?pid=1", ""},
		{"GET", "/v1/rules/try?pid=1", ""},
	} {
		if status, _ := ask(false, tc.method, tc.path, tc.body); status == 403 {
			t.Errorf("%s %s from here: status %d", tc.method, tc.path, status)
		}
		status, body := ask(true, tc.method, tc.path, tc.body)
		if status != 403 || !strings.Contains(body, "pid namespace of its own") {
			t.Errorf("%s %s from a namespace: status %d, %s", tc.method, tc.path, status, body)
		}
	}
	if status, body := ask(true, "POST", "/v1/join", `{"group":"web"}`); status != 200 {
		t.Errorf("join from a namespace: status %d, %s", status, body)
	}
}
