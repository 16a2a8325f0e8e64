// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"elsa/internal/config"
)

var update = flag.Bool("update", false, "write dist/man/elsad.8 anew")

// The manual page is testdata/elsad.8.in with the options as --help has them.
func TestManual(t *testing.T) {
	frame, err := os.ReadFile("testdata/elsad.8.in")
	if err != nil {
		t.Fatal(err)
	}
	flags := pflag.NewFlagSet("elsad", pflag.ContinueOnError)
	new(config.Config).Flags(flags)
	var options strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		name, usage := pflag.UnquoteUsage(f)
		fmt.Fprintf(&options, ".TP\n.BR %s", roff("--"+f.Name))
		if name != "" {
			fmt.Fprintf(&options, ` " \fI%s\fP"`, roff(name))
		}
		fmt.Fprintf(&options, "\n%s.", roff(usage))
		if f.DefValue != "" && f.DefValue != "false" {
			fmt.Fprintf(&options, "\nDefault: %s.", roff(f.DefValue))
		}
		options.WriteString("\n")
	})
	want := strings.Replace(string(frame), ".\\\" OPTIONS\n", options.String(), 1)
	const page = "../../dist/man/elsad.8"
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("dist/man/elsad.8 is not what --help says; run go test ./cmd/elsad -update (-want +got):\n%s", diff)
	}
}

func roff(s string) string { return strings.ReplaceAll(s, "-", `\-`) }
