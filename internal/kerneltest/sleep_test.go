// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// No test waits for something by sleeping, which is too short on a busy machine
// and too long on another: [Eventually] waits for the thing itself. A sleep that
// is no such wait says on its line what it is for: "// sleep: why".
func TestNoSleep(t *testing.T) {
	sleep := regexp.MustCompile(`\btime\.Sleep\(|^\s*<-time\.After\(`)
	seen := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "sleep_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		for n, line := range strings.Split(string(text), "\n") {
			if sleep.MatchString(line) && !strings.Contains(line, "// sleep: ") {
				t.Errorf("%s:%d: wait for a condition by kerneltest.Eventually, or in a bubble of testing/synctest: %s",
					strings.TrimPrefix(path, "../../"), n+1, strings.TrimSpace(line))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 50 {
		t.Errorf("only %d files of tests were looked at", seen)
	}
}
