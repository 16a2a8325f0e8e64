// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Sources looks at every source file of the module, once. A test that runs
// programs of ours calls it: go test takes a result from its cache unless a file
// that the test looked at has changed, and knows nothing of what it executes. It
// must be called from the test, since only then go keeps book. Where there is no
// module, as in a virtual machine, it does nothing.
func Sources(t testing.TB) {
	t.Helper()
	if err := sources(); err != nil {
		t.Fatalf("look at sources: %v", err)
	}
}

var sources = sync.OnceValue(func() error {
	root, err := filepath.Abs(".")
	for ; err == nil && root != "/"; root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
	}
	if err != nil || root == "/" {
		return err
	}
	for _, dir := range []string{"cmd", "pkg", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && !strings.HasSuffix(path, "_test.go") && !strings.Contains(path, "testdata") {
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
})
