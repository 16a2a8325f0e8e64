// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"elsa/pkg/usage"
)

// A scrape that cannot be answered says why, in words, also to who takes gzip, and the
// next is answered.
func TestNoSnapshot(t *testing.T) {
	var snap *usage.Snapshot
	e := New(Options{Snapshot: func(context.Context) *usage.Snapshot { return snap }})
	for _, encoding := range []string{"", "gzip"} {
		r := httptest.NewRequest("GET", "/metrics", nil)
		r.Header.Set("Accept-Encoding", encoding)
		w := httptest.NewRecorder()
		snap = nil
		if e.Handler().ServeHTTP(w, r); w.Code != 503 || !strings.Contains(w.Body.String(), "no figures yet") || w.Header().Get("Content-Encoding") != "" {
			t.Errorf("encoding %q: status %d, body %q; want 503 and the reason", encoding, w.Code, w.Body)
		}
		w = httptest.NewRecorder()
		snap = &usage.Snapshot{Time: started}
		if e.Handler().ServeHTTP(w, r); w.Code != 200 || w.Header().Get("Content-Encoding") != encoding {
			t.Errorf("encoding %q: status %d and encoding %q", encoding, w.Code, w.Header().Get("Content-Encoding"))
		}
	}
}
