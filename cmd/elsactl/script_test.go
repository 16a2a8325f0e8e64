// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"elsa/internal/launch"
	"elsa/pkg/api"
)

var update = flag.Bool("update", false, "rewrite what scripts expect, the manual page and the completions")

func TestMain(m *testing.M) {
	if strings.HasSuffix(os.Args[0], ".test") { // not a command of a script: that has its own zone
		os.Setenv("TZ", "UTC")
	}
	// The child of run is elsactl too, under another name.
	testscript.Main(m, map[string]func(){"elsactl": main, launch.ChildName: main, "interrupts": interrupts})
}

// TestScript runs elsactl's real main against a real server of a fake service,
// whose socket is s in the directory of the script.
func TestScript(t *testing.T) {
	// Under nohup(1) it is ignored, and so by all that a script starts.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, unix.SIGHUP)
	t.Cleanup(func() { signal.Stop(hangups) })
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			f := newFake()
			f.database = filepath.Join(env.WorkDir, "database")
			env.Values["fake"] = f
			env.Setenv("TZ", "UTC")
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			l, err := api.Listen(filepath.Join(env.WorkDir, "s"))
			if err != nil {
				return err
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- api.Serve(ctx, l, f, slog.New(slog.DiscardHandler)) }()
			env.Defer(func() {
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"asked": asked,
		},
	})
}

// asked [!] asked REGEXP: the service was asked something like that. $name in
// the expression is the content of the file name.
func asked(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: asked REGEXP [FILE]")
	}
	expr := args[0]
	for i, file := range args[1:] {
		expr = strings.ReplaceAll(expr, "<"+string(rune('1'+i))+">", regexp.QuoteMeta(strings.TrimSpace(ts.ReadFile(file))))
	}
	re, err := regexp.Compile("^(?:" + expr + ")$")
	ts.Check(err)
	f := ts.Value("fake").(*fake)
	f.mu.Lock()
	defer f.mu.Unlock()
	found := false
	for _, line := range f.journal {
		found = found || re.MatchString(line)
	}
	if found == neg {
		ts.Fatalf("asked %q is %v:\n%s", expr, found, strings.Join(f.journal, "\n"))
	}
}
