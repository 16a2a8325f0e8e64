// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReportQuery(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for _, tc := range []struct {
		query string
		want  ReportQuery
		err   string
	}{
		{"", ReportQuery{By: "group"}, ""},
		{"by=", ReportQuery{By: "group"}, ""},
		{"by=user&group=a&group=b%2Fc&wait=true", ReportQuery{By: "user", Groups: []string{"a", "b/c"}, Wait: true}, ""},
		{"since=2026-03-04T05:06:07Z&until=2026-03-04T06:06:07%2B00:00", ReportQuery{By: "group", Since: at, Until: at.Add(time.Hour)}, ""},
		{"by=day", ReportQuery{}, `by is "day"; use group, command, user, hour`},
		{"since=yesterday", ReportQuery{}, `since is "yesterday"; use RFC 3339`},
		{"until=2026-03-04T05:06:07Z&since=2026-03-04T05:06:07Z", ReportQuery{}, "since is not before until"},
		{"group=a+b", ReportQuery{}, "bad group name"},
		{"wait=maybe", ReportQuery{}, "wait is"},
		{"sort=cpu", ReportQuery{}, `"sort" is unknown`},
	} {
		got, err := reportQuery(httptest.NewRequest("GET", "/v1/report?"+tc.query, nil))
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: error %v, want %q", tc.query, err, tc.err)
			}
			continue
		}
		got.Since, got.Until = got.Since.UTC(), got.Until.UTC()
		if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", tc.query, err, diff)
		}
	}
}
