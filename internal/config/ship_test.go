// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestShip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "elsa.yaml")
	for _, tt := range []struct {
		text, wrong string
		want        Ship
	}{
		{"acct: own", "", DefaultShip},
		{"ship: {to: /mnt/fleet}", "", Ship{To: "/mnt/fleet", Every: 5 * time.Minute, SpoolBytes: 256 << 20, SpoolDays: 8}},
		{"ship: {to: 's3://b/p', stream: processes, every: 1m, spool-bytes: 1048576, spool-days: 3}", "", Ship{To: "s3://b/p", Processes: true, Every: time.Minute, SpoolBytes: 1 << 20, SpoolDays: 3}},
		{"ship: {to: /x, hide: [user, command]}", "", Ship{To: "/x", Every: 5 * time.Minute, SpoolBytes: 256 << 20, SpoolDays: 8, HideCommands: true, HideUsers: true}},
		{"ship: {to: /x, hide: user}", "line 1: hide needs a list", Ship{}},
		{"ship: {to: /x, hide: [host]}", `line 1: hide has "host"; use command and user`, Ship{}},
		{"ship: cells", "line 1: ship needs keys", Ship{}},
		{"ship: {}", "line 1: ship needs to", Ship{}},
		{"ship: {to: /x, stream: rows}", `line 1: stream is "rows"; use cells`, Ship{}},
		{"ship: {to: /x, every: 1d}", `line 1: every is "1d"`, Ship{}},
		{"ship: {to: /x,\n spool-days: 0}", `line 2: spool-days is "0"`, Ship{}},
		{"ship: {to: /x, spool-bytes: 1}", `spool-bytes is "1"`, Ship{}},
		{"ship: {to: [/x]}", `to needs one value`, Ship{}},
		{"ship: {at: /x}", `unknown key "at" of ship`, Ship{}},
	} {
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := ReadSections(path)
		if tt.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("%s: %v", tt.text, err)
			}
		} else if err != nil || s.Ship != tt.want {
			t.Errorf("%s: %+v, %v", tt.text, s.Ship, err)
		}
	}
}
