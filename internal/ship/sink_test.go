// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// sinks opens one of each kind, empty.
func sinks(t *testing.T) map[string]Sink {
	t.Helper()
	dir, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return map[string]Sink{"directory": dir, "s3": openFakeS3(t, "/fleet/elsa")}
}

func openFakeS3(t *testing.T, path string) Sink {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("bills"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	s, err := Open("s3://bills" + path + "?endpoint=" + server.URL + "&region=us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSink: what a sink promises, of both kinds.
func TestSink(t *testing.T) {
	for kind, s := range sinks(t) {
		t.Run(kind, func(t *testing.T) {
			ctx := t.Context()
			if _, err := s.Get(ctx, "a/none"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("get of nothing: %v", err)
			}
			if list, err := s.List(ctx, "a/"); err != nil || len(list) != 0 {
				t.Errorf("%v, %v", list, err)
			}
			if err := s.Put(ctx, "a/x=1/one", []byte("first")); err != nil {
				t.Fatal(err)
			}
			if err := s.Put(ctx, "a/x=1/one", []byte("second")); !errors.Is(err, ErrThere) {
				t.Errorf("put where one is: %v", err)
			}
			if b, err := s.Get(ctx, "a/x=1/one"); err != nil || string(b) != "first" {
				t.Errorf("got %q, %v", b, err)
			}
			if err := s.Replace(ctx, "a/x=1/one", []byte("third")); err != nil {
				t.Error(err)
			}
			for _, name := range []string{"a/x=2/two", "b/three"} {
				if err := s.Put(ctx, name, bytes.Repeat([]byte("x"), 3)); err != nil {
					t.Error(err)
				}
			}
			list, err := s.List(ctx, "a/")
			if diff := cmp.Diff([]Object{{Name: "a/x=1/one", Size: 5}, {Name: "a/x=2/two", Size: 3}}, list); err != nil || diff != "" {
				t.Errorf("list (-want +got):\n%s%v", diff, err)
			}
			for range 2 {
				if err := s.Remove(ctx, "a/x=1/one"); err != nil {
					t.Error(err)
				}
			}
			if _, err := s.Get(ctx, "a/x=1/one"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("get of what was removed: %v", err)
			}
			// Of many who put one name at a time, one does.
			var made sync.Map
			var all sync.WaitGroup
			for i := range 8 {
				all.Go(func() {
					if err := s.Put(ctx, "c/one", []byte{byte(i)}); err == nil {
						made.Store(i, true)
					} else if !errors.Is(err, ErrThere) {
						t.Error(err)
					}
				})
			}
			all.Wait()
			n := 0
			made.Range(func(any, any) bool { n++; return true })
			if n != 1 && kind == "directory" {
				t.Errorf("%d made it", n)
			}
		})
	}
}

// TestDir: a directory that is not mounted is an error and is not made; what a killed
// writer left is not a file, and goes; nothing is beside the directory.
func TestDir(t *testing.T) {
	root := filepath.Join(t.TempDir(), "fleet")
	s, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "a/x", nil); err == nil || !strings.Contains(err.Error(), "is it mounted?") {
		t.Errorf("put: %v", err)
	}
	if _, err := s.List(t.Context(), "a/"); err == nil {
		t.Error("what is not there is empty")
	}
	left := filepath.Join(root, "a/.x.123.tmp")
	if err := os.MkdirAll(filepath.Dir(left), 0o755); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(left, []byte("half"), 0o600)
	if list, err := s.List(t.Context(), "a/"); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	old := time.Now().Add(-2 * staleAfter)
	os.Chtimes(left, old, old)
	if err := s.Put(t.Context(), "a/x", []byte("whole")); err != nil {
		t.Error(err)
	}
	if files, _ := os.ReadDir(filepath.Join(root, "a")); len(files) != 1 {
		t.Errorf("there are %v", files)
	}
	for _, name := range []string{"../x", "/x", "a/../../x"} {
		if err := s.Put(t.Context(), name, nil); err == nil {
			t.Errorf("%s is written", name)
		}
	}
}

// TestOpen: each address that makes no sense has a line that says so, without keys.
func TestOpen(t *testing.T) {
	loose := filepath.Join(t.TempDir(), "keys")
	os.WriteFile(loose, nil, 0o644)
	for _, tt := range []struct{ address, file, want string }{
		{"", "", "no absolute path"},
		{"fleet", "", "no absolute path"},
		{"https://ch/elsa", "", "https:// is not known"},
		{"s3://b?endpoint=ftp://x", "", "no http:// or https:// address"},
		{"s3://b?token=x", "", `"token" is not known`},
		{"s3://me:secret@b/x", "", "an address has no keys"},
		{"s3://b", loose, "chmod 600"},
		{"s3://b", loose + "-none", "read keys"},
	} {
		t.Setenv("AWS_SHARED_CREDENTIALS_FILE", tt.file)
		if _, err := Open(tt.address); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", tt.address, err)
		}
	}
}

// TestS3Errors: what a bucket refuses has one line, and a mend.
func TestS3Errors(t *testing.T) {
	s := openFakeS3(t, "")
	s.(*bucket).name = "none"
	if err := s.Put(t.Context(), "x", nil); err == nil || !strings.Contains(err.Error(), "no such bucket; make it first") {
		t.Errorf("%v", err)
	}
}
